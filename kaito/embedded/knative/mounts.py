"""A pod's volumes as directories of this machine, and the paths that programs are told instead.

A process has no mount namespace of its own, so that nothing can appear at ``mountPath``. What stands for it is a
directory elsewhere, and every mention of the mountPath in command, args and environment is rewritten to it. A program
that has a mount path built in does not find its files; it has to be told the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kaito.api.resources import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, Object
from kaito.api.workloads import DOCKER_CONFIG
from kaito.embedded.knative.config import files, read
from kaito.embedded.knative.host import Host, ImageError
from kaito.embedded.knative.revision import PodFailure

#: Of volumes, that a directory of the pod can be.
_KINDS: Final = ("name", "configMap", "emptyDir", "secret")
#: What the API server adds to a pod that has a service account; here there is a kubeconfig instead.
_TOKEN: Final = "kube-api-access-"  # noqa: S105


def make(spec: Object, namespace: str, host: Host, directory: Path) -> dict[str, Path]:
    """Make the volumes of a pod spec under ``directory``, and say where each is.

    Raises PodFailure and KubeError. An emptyDir's size and medium are not held to.
    """
    directory.mkdir(parents=True)
    return {
        volume["name"]: _volume(volume, spec, namespace, host, directory / volume["name"])
        for volume in spec.get("volumes") or ()
    }


def of(container: Object, made: Mapping[str, Path]) -> dict[str, Path]:
    """The local path of each of the container's mountPaths."""
    return {
        entry["mountPath"].rstrip("/"): _inside(made[entry["name"]], entry.get("subPath") or ".")
        for entry in container.get("volumeMounts") or ()
    }


def images(spec: Object) -> list[str]:
    """The references of a pod spec's image volumes."""
    return [volume["image"]["reference"] for volume in spec.get("volumes") or () if "image" in volume]


def rewrite(text: str, mounts: Mapping[str, Path]) -> str:
    """``text`` with every mountPath, as a whole path or as the beginning of one, replaced by its local path."""
    if not mounts:
        return text
    longest_first = sorted(mounts, key=len, reverse=True)
    paths = "|".join(re.escape(path) for path in longest_first)
    # Not in the middle of another path or of a URL, and not where only a name's beginning is the same.
    pattern = rf"(?<![\w./-])(?:{paths})(?![\w-]|\.\w)"
    return re.sub(pattern, lambda match: str(mounts[match[0]]), text)


def _volume(volume: Object, spec: Object, namespace: str, host: Host, directory: Path) -> Path:
    if "image" in volume:
        names = [secret["name"] for secret in spec.get("imagePullSecrets") or ()]
        secrets = (read(host.kube, SECRET, namespace, {"name": name, "optional": True}) or {} for name in names)
        credentials = [content for secret in secrets if (content := secret.get(DOCKER_CONFIG)) is not None]
        try:
            target = host.images.content(volume["image"]["reference"], credentials)
        except ImageError as error:
            raise PodFailure("ImagePullBackOff", str(error)) from error
        directory.symlink_to(target, target_is_directory=True)
        return directory
    if claim := volume.get("persistentVolumeClaim"):
        return _claimed(claim["claimName"], namespace, host)
    other = next((kind for kind in volume if kind not in _KINDS), None)
    if other and not (other == "projected" and volume["name"].startswith(_TOKEN)):
        raise PodFailure("FailedMount", f"a volume of kind {other} cannot be had here: use a cluster")
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


def _claimed(name: str, namespace: str, host: Host) -> Path:
    """A directory that outlives its pods stands for what a PersistentVolumeClaim is bound to."""
    if host.kube.get(PERSISTENT_VOLUME_CLAIM, name, namespace) is None:
        raise PodFailure("FailedMount", f'persistentvolumeclaim "{name}" not found: create it')
    directory = host.volumes / namespace / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _inside(directory: Path, relative: str) -> Path:
    """Join, refusing what would leave ``directory``."""
    if relative.startswith("/") or ".." in Path(relative).parts:
        raise PodFailure("FailedMount", f"{relative!r} must be a relative path without '..'")
    return directory / relative
