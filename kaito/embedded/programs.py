"""Where the control plane's programs come from: a list of sources, the first that has a program wins.

Those that cost nothing are asked first: ``$KUBEBUILDER_ASSETS``, for kubectl the PATH, this user's cache. The
others fill the cache: the official release archive, and a build from the Go modules beside this file. What they
make has each its own place there, named for the version and a digest of what it was made from.
``python -m kaito.embedded.programs`` prepares all of them and shows how it goes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from kaito.embedded import gobuild, release
from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import LockHeldError, locked

_GO_MODULES: Final = Path(__file__).parent / "gomodules"
_IN_ARCHIVE: Final = "kubernetes/server/bin"


@dataclass(frozen=True, slots=True)
class Program:
    """A program by name, the folder under gomodules/ that pins it, and its Go package."""

    name: str
    module: str
    package: str

    @property
    def built(self) -> Path:
        """Where a build of it is cached: another version, other flags or another machine is another place."""
        module = _GO_MODULES / self.module
        return self._cached(f"{self.module}-{gobuild.version(module)}-{gobuild.fingerprint(module)[:12]}")

    def unpacked(self, archive: release.Archive) -> Path:
        """Where it is cached if it comes from that archive."""
        return self._cached(archive.key)

    def _cached(self, key: str) -> Path:
        return cache_dir() / "programs" / key / self.name


ETCD: Final = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3")
KUBE_APISERVER: Final = Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver")
KUBE_CONTROLLER_MANAGER: Final = Program(
    "kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"
)
KUBECTL: Final = Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl")
ALL: Final = (ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBECTL)

#: Told a program's name and, in a few words, what is going on with it.
Report = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Programs:
    """Programs that can be run here."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


class Source(Protocol):
    """One place where programs come from."""

    def find(self, program: Program) -> Path | None:
        """The program, ready to run, or None where this source has none."""


class Assets:
    """``$KUBEBUILDER_ASSETS``: the directory that Kubernetes' own test tools use."""

    def find(self, program: Program) -> Path | None:
        directory = os.environ.get("KUBEBUILDER_ASSETS")
        return _executable(Path(directory) / program.name) if directory else None


class OnPath:
    """The PATH, for kubectl only: people have their own, and the others must fit one another."""

    def find(self, program: Program) -> Path | None:
        found = shutil.which(program.name) if program == KUBECTL else None
        return Path(found) if found else None


class Cache:
    """What an earlier call has downloaded or built."""

    def __init__(self, archive: release.Archive | None) -> None:
        self._archive = archive

    def find(self, program: Program) -> Path | None:
        downloaded = self._archive and _executable(program.unpacked(self._archive))
        return downloaded or _executable(program.built)


class ReleaseArchive:
    """The official archive: all Kubernetes programs in one download, asked for once."""

    def __init__(self, archive: release.Archive | None, report: Report) -> None:
        self._archive, self._report = archive, report

    def find(self, program: Program) -> Path | None:
        if self._archive is None or program.module != KUBE_APISERVER.module:
            return None
        wanted = {f"{_IN_ARCHIVE}/{p.name}": p.unpacked(self._archive) for p in ALL if p.module == program.module}
        try:
            release.fetch(self._archive, wanted, lambda what: self._report(program.name, what))
        except release.ArchiveError as error:
            self._report(program.name, f"no release archive: {error}")
            self._archive = None  # the answer would be the same for the next program
            return None
        return program.unpacked(self._archive)


class GoModules:
    """A build from source; raises gobuild.BuildError where it fails, since no source comes after it."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def find(self, program: Program) -> Path | None:
        self._report(program.name, "building from its Go module, which takes minutes the first time")
        gobuild.build(
            _GO_MODULES / program.module,
            program.package,
            program.built,
            program.built.with_suffix(".log"),
            lambda line: self._report(program.name, f"building: {line}"),
        )
        return program.built


def prepare(report: Report = lambda _name, _what: None) -> Programs:
    """All programs, each from the first source that has it; raises EmbeddedError. Safe to call twice at once."""
    return Programs(*(path for _, path in _each(report)))


def _each(report: Report) -> Iterator[tuple[Program, Path]]:
    archive = release.kubernetes_for_this_machine()
    ready = (Assets(), OnPath(), Cache(archive))
    # The cache once more: whoever had the lock before us may have filled it.
    makers = (Cache(archive), ReleaseArchive(archive, report), GoModules(report))
    for program in ALL:
        yield program, _first(program, ready) or _make(program, makers, report)


def _make(program: Program, makers: Sequence[Source], report: Report) -> Path:
    def waiting(held: LockHeldError) -> None:
        report(program.name, f"waiting for another setup: {held}")

    with locked(program.built.parent / ".lock", waiting):
        path = _first(program, makers)
    assert path is not None, "the last source has it or raises"
    return path


def _first(program: Program, sources: Sequence[Source]) -> Path | None:
    return next((path for source in sources if (path := source.find(program))), None)


def _executable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def main() -> int:
    """Prepare all programs, showing each one's step and time; 1 where one cannot be had."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    with Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.fields[program]}", table_column=Column(no_wrap=True, min_width=23)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        expand=True,
    ) as progress:
        tasks = {p.name: progress.add_task("", start=False, total=1, program=p.name) for p in ALL}

        def report(name: str, what: str) -> None:
            progress.start_task(tasks[name])
            progress.update(tasks[name], description=what)

        try:
            for program, path in _each(report):
                report(program.name, str(path))
                progress.update(tasks[program.name], completed=1)
        except EmbeddedError as error:
            failure = str(error)
        else:
            return 0
    print(failure, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
