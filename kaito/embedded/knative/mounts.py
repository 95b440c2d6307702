"""A pod's volumes as directories of this machine, and the paths that programs are told instead.

A process has no mount namespace of its own, so that nothing can appear at ``mountPath``. What stands for it is a
directory elsewhere, and every mention of the mountPath in command, args and environment is rewritten to it. A program
that has a mount path built in does not find its files; it has to be told the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kaito.api.resources import CONFIG_MAP, SECRET, Object
from kaito.embedded.knative.config import files
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.revision import PodFailure, Revision


def mount(revision: Revision, host: Host, directory: Path) -> dict[str, Path]:
    """Make the revision's volumes under ``directory``; returns the local path of each mountPath.

    Raises PodFailure and KubeError. An emptyDir's size and medium are not held to.
    """
    directory.mkdir(parents=True)
    made = {
        volume["name"]: _volume(volume, revision.namespace, host, directory / volume["name"])
        for volume in revision.spec.get("volumes") or ()
    }
    return {
        entry["mountPath"].rstrip("/"): _inside(made[entry["name"]], entry.get("subPath") or ".")
        for entry in revision.container.get("volumeMounts") or ()
    }


def images(revision: Revision) -> list[str]:
    """The references of its image volumes."""
    return [volume["image"]["reference"] for volume in revision.spec.get("volumes") or () if "image" in volume]


def rewrite(text: str, mounts: Mapping[str, Path]) -> str:
    """``text`` with every mountPath, as a whole path or as the beginning of one, replaced by its local path."""
    if not mounts:
        return text
    longest_first = sorted(mounts, key=len, reverse=True)
    paths = "|".join(re.escape(path) for path in longest_first)
    # Not in the middle of another path or of a URL, and not where only a name's beginning is the same.
    pattern = rf"(?<![\w./-])(?:{paths})(?![\w-]|\.\w)"
    return re.sub(pattern, lambda match: str(mounts[match[0]]), text)


def _volume(volume: Object, namespace: str, host: Host, directory: Path) -> Path:
    if "image" in volume:
        reference = volume["image"]["reference"]
        target = host.images.resolve(reference)
        if target is None:
            raise PodFailure("ImagePullBackOff", host.images.missing(reference))
        directory.symlink_to(target, target_is_directory=True)
        return directory
    directory.mkdir()
    for kind, field in ((CONFIG_MAP, "configMap"), (SECRET, "secret")):
        if field not in volume:
            continue
        for path, content in files(host.kube, kind, namespace, volume[field]).items():
            file = _inside(directory, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600 if kind == SECRET else 0o644)
            file.write_bytes(content)
    return directory


def _inside(directory: Path, relative: str) -> Path:
    """Join, refusing what would leave ``directory``."""
    if relative.startswith("/") or ".." in Path(relative).parts:
        raise PodFailure("FailedMount", f"{relative!r} must be a relative path without '..'")
    return directory / relative
