"""``kaito status`` and ``kaito down``: a platform from outside, by what is in its directory."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from kaito.api.resources import WORKSPACE
from kaito.cli.options import DEFAULT_DIRECTORY
from kaito.cli.watching import workspaces_json, workspaces_table
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import holder
from kaito.embedded.process import ProcessTable, end_process
from kaito.runtime.kube import Kube, KubeError

_DOWN_SECONDS: Final = 30.0


class NotAPlatform(EmbeddedError):
    """The directory is somebody else's."""


def down(directory: Path, *, purge: bool) -> None:
    """End it; raises NotAPlatform where something else would be purged."""
    console, directory = Console(), directory.resolve()
    if not _is_platform(directory):
        if purge and directory.exists():
            raise NotAPlatform(f"{shown(directory)} does not look like a platform's: nothing is removed")
        console.print(f"There is no platform in {shown(directory)}.", markup=False)
        return
    pid = holder(directory / "lock")
    if pid is not None:
        with console.status(f"ending process {pid}"):
            end_process(pid, _DOWN_SECONDS)
    left = ProcessTable(directory).end_leftovers()
    if purge:
        shutil.rmtree(directory)
    what = "The platform is down" if pid is not None else "No platform was running"
    console.print(
        what
        + (f"; ended {len(left)} processes that were left" if left else "")
        + ("; its state is gone." if purge else ".")
    )


def status(directory: Path, *, as_json: bool) -> bool:
    """Say how it is. Is it up?"""
    directory = directory.resolve()
    found, trouble = _looked(directory)
    if as_json:
        workspaces = found.pop("objects", ())
        told = {"running": not trouble, **found, "workspaces": workspaces_json(workspaces)}
        print(json.dumps({**told, "trouble": trouble} if trouble else told, indent=2))
        return not trouble
    console = Console()
    if "routes" in found:
        lines = f"process     {found['pid']}\nkubeconfig  {shown(found['kubeconfig'])}\nroutes      {found['routes']}"
        console.print(lines, markup=False, soft_wrap=True)
    if trouble:
        console.print(trouble, markup=False)
    else:
        console.print(workspaces_table(found["objects"], datetime.now(UTC)))
    return not trouble


def _looked(directory: Path) -> tuple[dict[str, Any], str]:
    """What there is of it, and why it is not up."""
    pid = holder(directory / "lock") if directory.is_dir() else None
    if pid is None:
        where = "" if directory == DEFAULT_DIRECTORY.resolve() else f" --dir {quoted(directory)}"
        return {}, f"No platform runs in {shown(directory)}. Start one with `kaito up{where}`."
    kubeconfig, port_file = directory / "kubeconfig", directory / "route-port"
    port = port_file.read_text() if port_file.exists() else ""
    if not port or not kubeconfig.exists():
        return {"pid": pid}, f"The platform of process {pid} is still starting."
    found: dict[str, Any] = {
        "pid": pid,
        "kubeconfig": str(kubeconfig),
        "routes": f"http://NAME.NAMESPACE.localhost:{port}",
    }
    try:
        found["objects"] = Kube.from_kubeconfig(kubeconfig).list(WORKSPACE).items
    except KubeError as error:
        return found, f"The API server does not answer: {error}. Is the platform still starting?"
    return found, ""


def may_be_platform(directory: Path) -> bool:
    """A platform's, or still nobody's: an empty directory, or one where a platform only began."""
    return directory.is_dir() and (
        (directory / "lock").is_file() or all(entry.name == "logs" for entry in directory.iterdir())
    )


def _is_platform(directory: Path) -> bool:
    """Has a platform ever got as far here as to choose its ports?"""
    return all((directory / name).is_file() for name in ("lock", "ports.json"))


def quoted(path: Path) -> str:
    """For a shell."""
    return shlex.quote(shown(path))


def shown(path: str | Path) -> str:
    """Relative to where the user is, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
