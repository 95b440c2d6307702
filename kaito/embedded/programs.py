"""Where Kubernetes' programs come from: a list of sources, the first that has a program wins.

Those that cost nothing are asked first: ``$KUBEBUILDER_ASSETS``, for kubectl the PATH, this user's cache. The
others fill the cache: the official release archive, and a build from the Go modules beside this file. What they
make has each its own place there, named for the version and a digest of what it was made from.
``python -m kaito.embedded.programs`` prepares the embedded control plane's and shows how it goes.
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
    """A program by name, the folder whose go.mod pins it, and its Go package."""

    name: str
    module: Path
    package: str

    @property
    def version(self) -> str:
        """As the module's, like v1.36.3."""
        return gobuild.version(self.module)

    @property
    def built(self) -> Path:
        """Where a build of it is cached: another version, other flags or another machine is another place."""
        return self._cached(f"{self.module.name}-{self.version}-{gobuild.fingerprint(self.module)[:12]}")

    def unpacked(self, archive: release.Archive) -> Path:
        """Where it is cached if it comes from that archive."""
        return self._cached(archive.key)

    def _cached(self, key: str) -> Path:
        return cache_dir() / "programs" / key / self.name


def _kubernetes(name: str) -> Program:
    return Program(name, _GO_MODULES / "kubernetes", f"k8s.io/kubernetes/cmd/{name}")


ETCD: Final = Program("etcd", _GO_MODULES / "etcd", "go.etcd.io/etcd/server/v3")
KUBE_APISERVER: Final = _kubernetes("kube-apiserver")
KUBE_CONTROLLER_MANAGER: Final = _kubernetes("kube-controller-manager")
KUBECTL: Final = _kubernetes("kubectl")
KUBE_SCHEDULER: Final = _kubernetes("kube-scheduler")
KUBELET: Final = _kubernetes("kubelet")
KUBE_PROXY: Final = _kubernetes("kube-proxy")
CONTROL_PLANE: Final = (ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBECTL)
_IN_THE_ARCHIVE: Final = (KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBECTL, KUBE_SCHEDULER, KUBELET, KUBE_PROXY)

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
        in_archive = self._archive is not None and program in _IN_THE_ARCHIVE
        downloaded = in_archive and self._archive and _executable(program.unpacked(self._archive))
        return downloaded or _executable(program.built)


class ReleaseArchive:
    """The official archive: all Kubernetes programs in one download, asked for once."""

    def __init__(self, archive: release.Archive | None, report: Report) -> None:
        self._archive, self._report = archive, report

    def find(self, program: Program) -> Path | None:
        if self._archive is None or program not in _IN_THE_ARCHIVE:
            return None
        wanted = {f"{_IN_ARCHIVE}/{p.name}": p.unpacked(self._archive) for p in _IN_THE_ARCHIVE}
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
            program.module,
            program.package,
            program.built,
            program.built.with_suffix(".log"),
            lambda line: self._report(program.name, f"building: {line}"),
        )
        return program.built


def prepare(report: Report = lambda _name, _what: None) -> Programs:
    """The embedded control plane's, each from the first source that has it; raises EmbeddedError.

    Safe to call twice at once, as ``fetch`` is.
    """
    return Programs(*(path for _, path in _each(CONTROL_PLANE, report)))


def fetch(programs: Sequence[Program], report: Report = lambda _name, _what: None) -> dict[Program, Path]:
    """These programs, each from the first source that has it; raises EmbeddedError."""
    return dict(_each(programs, report))


def _each(programs: Sequence[Program], report: Report) -> Iterator[tuple[Program, Path]]:
    archive = release.kubernetes_for_this_machine()
    ready = (Assets(), OnPath(), Cache(archive))
    # The cache once more: whoever had the lock before us may have filled it.
    makers = (Cache(archive), ReleaseArchive(archive, report), GoModules(report))
    for program in programs:
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


def show(programs: Sequence[Program]) -> dict[Program, Path]:
    """``fetch`` on a terminal: each program's step and time."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    with Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.fields[program]}", table_column=Column(no_wrap=True, min_width=23)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        expand=True,
    ) as progress:
        tasks = {p.name: progress.add_task("", start=False, total=1, program=p.name) for p in programs}

        def report(name: str, what: str) -> None:
            progress.start_task(tasks[name])
            progress.update(tasks[name], description=what)

        fetched = {}
        for program, path in _each(programs, report):
            report(program.name, str(path))
            progress.update(tasks[program.name], completed=1)
            fetched[program] = path
    return fetched


def main() -> int:
    """Prepare the control plane's programs; 1 where one cannot be had."""
    try:
        show(CONTROL_PLANE)
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
