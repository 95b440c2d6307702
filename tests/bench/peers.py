"""Other servers of the same model, for ``make bench-serving``: installed once, outside the tree, where that works here.

``transformers serve`` runs with the packages of this environment and those that its extra ``serving`` adds.
llama.cpp's server is compiled from the source that the package llama-cpp-python carries, and reads the file that our
weights are made from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from kaito.embedded.cache import cache_dir
from kaito.embedded.installer import installed, made_once
from kaito.embedded.models import SMOLLM2
from tests.integration.serving.process import STARTS_WITHIN, free_port, stop, until

_UV: Final = Path(sys.executable).with_name("uv")
_SERVE: Final = ("fastapi==0.128.0", "uvicorn==0.40.0")
_LLAMA: Final = "llama-cpp-python==0.3.36"
_BUILD: Final = ("cmake==4.2.1", "ninja==1.13.0", "pip==25.3", "scikit-build-core==0.11.6")
_SERVER: Final = "llama-server"


@dataclass(frozen=True, slots=True)
class Peer:
    """``argv`` for a port; ``model`` is what requests call the model."""

    name: str
    model: str
    argv: Callable[[int], Sequence[str]]


def transformers_serve(weights: Path) -> Peer:
    """Raises RuntimeError where it does not install."""
    python = _kept("transformers-serve", _packages, *_SERVE)
    return Peer(
        "transformers serve",
        str(weights),
        lambda port: [
            str(python / "bin" / "python"),
            str(Path(sys.executable).with_name("transformers")),
            "serve",
            str(weights),
            f"--port={port}",
            "--host=127.0.0.1",
            "--device=cpu",
            "--dtype=float32",
            "--continuous-batching",
        ],
    )


def llama_cpp(slots: int) -> Peer:
    """With so many requests at once. Raises RuntimeError where it does not compile."""
    made = _kept("llama.cpp", _llama, _LLAMA, *_BUILD)
    model = installed(SMOLLM2.package, SMOLLM2.version, partial(print, file=sys.stderr)) / SMOLLM2.file
    threads = str(os.cpu_count() or 1)
    return Peer(
        "llama.cpp",
        "smollm2",
        lambda port: [
            str(made / _SERVER),
            *("--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--no-webui"),
            *("--threads", threads, "--parallel", str(slots), "--ctx-size", str(slots * 1024)),
        ],
    )


@contextmanager
def running(peer: Peer, log: Path) -> Iterator[str]:
    """Its URL, once it is there."""
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(peer.argv(port), env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        return httpx.get(f"{url}/health", timeout=30, trust_env=False).status_code == 200

    try:
        until(lambda: process.poll() is not None or answers(), STARTS_WITHIN)
        if process.poll() is not None:
            raise RuntimeError(f"{peer.name} does not start: {log.read_text()[-2000:]}")
        yield url
    finally:
        stop(process)


def _kept(name: str, make: Callable[[Path], None], *versions: str) -> Path:
    key = hashlib.sha256(" ".join((sys.version, *versions)).encode()).hexdigest()[:12]
    return made_once(cache_dir() / "bench" / f"{name}-{key}", make, f"{name}, once", partial(print, file=sys.stderr))


def _packages(folder: Path) -> None:
    """Those of this environment, and these beside them."""
    _run([_UV, "venv", "--quiet", "--relocatable", "--python", sys.executable, folder])
    _run([_UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *_SERVE])
    (site,) = folder.glob("lib/python*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "ours.pth").write_text(f"{ours}\n")


def _llama(folder: Path) -> None:
    work = folder / "work"
    tools = work / "venv" / "bin"
    _run([_UV, "venv", "--quiet", "--python", sys.executable, work / "venv"])
    _run([_UV, "pip", "install", "--quiet", "--python", tools / "python", *_BUILD])
    download: list[str | Path] = [tools / "python", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work]
    _run([*download, "--no-binary=:all:", "--no-build-isolation", _LLAMA], path=tools)
    (archive,) = work.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(work, filter="data")
    (source,) = work.glob("*/vendor/llama.cpp")
    options = ["LLAMA_CURL=OFF", "LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_EXAMPLES=OFF", "BUILD_SHARED_LIBS=OFF"]
    flags = [f"-D{it}" for it in (*options, "CMAKE_BUILD_TYPE=Release")]
    _run([tools / "cmake", "-G", "Ninja", "-S", source, "-B", work / "build", *flags], path=tools)
    _run([tools / "cmake", "--build", work / "build", "--target", _SERVER], path=tools)
    (built,) = (it for it in work.rglob(_SERVER) if it.is_file())
    built.rename(folder / _SERVER)
    shutil.rmtree(work)


def _run(argv: Sequence[str | Path], path: Path | None = None) -> None:
    environment = {**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})}
    done = subprocess.run([str(it) for it in argv], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr[-1000:] or done.stdout[-1000:]}")
