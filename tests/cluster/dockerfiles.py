"""The images of this project's Dockerfiles, built as users build them, on a base image made of Debian's packages.

The base has the name of the one that users pull, and the same programs: Python 3.11 with venv, and no more.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kaito.embedded.cache import cache_dir
from tests.cluster.buildah import buildah, identity
from tests.cluster.commands import CommandError, run

_ROOT: Final = Path(__file__).parents[2]
_FILES: Final = {
    "workspace": "functions/workspace/Dockerfile",
    "provisioner": "functions/provisioner/Dockerfile",
    "tuning": "functions/tuning/Dockerfile",
    "recorder": "eventing/recorder/Dockerfile",
    "source": "eventing/source/Dockerfile",
    "console": "console/Dockerfile",
    "serving": "serving/Dockerfile",
    "training": "training/Dockerfile",
}
NAMES: Final = tuple(_FILES)
#: What .dockerignore lets in: whatever of it changes may change an image.
_CONTEXT: Final = ("pyproject.toml", "constraints.txt", "kaito/__init__.py", "kaito/api", "kaito/runtime")
_SOURCE: Final = (
    *("eventing/__init__.py", "eventing/delivery.py", "eventing/inventory.py", "eventing/manifest.py"),
    "eventing/source",
)
_OWN: Final = {
    "workspace": ("functions", "presets"),
    "provisioner": ("functions", "presets"),
    "tuning": ("functions", "presets"),
    "recorder": ("eventing/__init__.py", "eventing/recorder", "eventing/recordings"),
    "source": _SOURCE,
    "console": (*_SOURCE, "eventing/recordings", "console"),
    "serving": ("oci", "serving"),
    "training": ("oci", "training"),
}
_BASE: Final = "docker.io/library/python:3.11-slim-bookworm"
_LABEL: Final = "sh.kaito.recipe"
#: usr-is-merged, in the place of the package that would merge it and needs all of Perl for that.
_PACKAGES: Final = ("usr-is-merged", "python3", "python3-venv", "ca-certificates")
_MERGED: Final = "/usr/share/mmdebstrap/hooks/merged-usr"
_LEFT_OUT: Final = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/share/info/*",
    "usr/lib/x86_64-linux-gnu/gconv/*",
)
_APT: Final = 'APT::Install-Recommends "false"'
_CUSTOMIZE: Final = (
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
)
_RECIPE: Final = hashlib.sha256(repr((_PACKAGES, _LEFT_OUT, _APT, _CUSTOMIZE)).encode()).hexdigest()[:12]
#: As in the Dockerfiles.
_UV_CACHE: Final = "/var/cache/uv"
#: Debian's name of this machine's certificates, which a machine behind a proxy has more of than the image.
_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def key(name: str) -> str:
    """Changes with whatever the image is made of."""
    digest = hashlib.sha256(_RECIPE.encode())
    for path in (_FILES[name], ".dockerignore", *_CONTEXT, *_OWN[name]):
        for file in sorted((_ROOT / path).rglob("*")) if (_ROOT / path).is_dir() else [_ROOT / path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:24]


def build(name: str, reference: str, report: Callable[[str], None]) -> None:
    """Build it into our store; what has not changed since the last time comes from its layers there.

    Raises CommandError.
    """
    _ensure_base(report)
    report(f"building {reference}")
    replaced = identity(reference)
    # Host network: buildah's own changes the machine's sysctls and leaves files behind.
    options = ["--isolation", "chroot", "--network", "host", "--layers", "--force-rm", "--pull-never"]
    if _AUTHORITIES.exists():
        options += ["--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"]
    options += ["--volume", f"{_uv_cache()}:{_UV_CACHE}"]
    buildah("build", *options, "--file", _FILES[name], "--tag", reference, ".", cwd=_ROOT)
    if replaced and identity(reference) != replaced:
        buildah("rmi", replaced)


def _ensure_base(report: Callable[[str], None]) -> None:
    label = f'{{{{index .OCIv1.Config.Labels "{_LABEL}"}}}}'
    if identity(_BASE) and buildah("inspect", "--type", "image", "--format", label, _BASE) == _RECIPE:
        return
    report(f"making {_BASE} of Debian's packages")
    with tempfile.TemporaryDirectory(prefix="kaito-base-") as scratch:
        tarball = f"{scratch}/base.tar"
        options = [
            "--variant=minbase",
            f"--include={','.join(_PACKAGES)}",
            f"--hook-dir={_MERGED}",
            f"--aptopt={_APT}",
            *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in _LEFT_OUT),
            *(f"--customize-hook={command}" for command in _CUSTOMIZE),
        ]
        run("mmdebstrap", *options, "bookworm", tarball)
        container = buildah("from", "scratch")
        try:
            buildah("add", "--quiet", container, tarball, "/")
            settings = ["--env", "LANG=C.UTF-8", "--cmd", "python3", "--label", f"{_LABEL}={_RECIPE}"]
            buildah("config", *settings, container)
            buildah("commit", "--quiet", container, _BASE)
        finally:
            buildah("rm", container)


def _uv_cache() -> Path:
    """Where this machine's uv keeps what it has fetched: gigabytes that need no second download."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    try:
        cache = Path(run(uv, "cache", "dir"))
    except CommandError:  # no uv
        cache = cache_dir() / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
