"""Programs of the machine that are run to their end, and conditions that are waited for."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kaito.embedded.error import EmbeddedError

_LINES: Final = 15
_EVERY: Final = 0.05


class CommandError(EmbeddedError):
    """A program failed; the message holds its command line and the end of what it said."""


class NeverCame(EmbeddedError):
    """What was waited for did not come to be; the message names it."""


def run(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What it printed; raises CommandError, also where there is no such program."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CommandError(f"{argv[0]} is not here: install it with this machine's package manager") from error
    if done.returncode:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES:])
        raise CommandError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {tail}")
    return done.stdout.strip()


def wait_for(ready: Callable[[], bool], otherwise: Callable[[], str], seconds: float = 30) -> None:
    """Poll until ``ready``; raises NeverCame with what ``otherwise`` says then."""
    never, deadline = threading.Event(), time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise NeverCame(f"{otherwise()}, after {seconds:.0f} s")
        never.wait(_EVERY)
