"""A real PostgreSQL for tests, Debian's, that only this machine's files lead to."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL

#: Debian keeps the programs of each release in a folder of its own.
_PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
#: It does not run as root; this is whom its package brings.
_USER: Final = "postgres"
_SECONDS: Final = 30.0


def missing() -> str:
    """Why there is none here; empty where there is."""
    if not _PROGRAMS:
        return "no PostgreSQL is installed: make test-packages"
    if os.geteuid() == 0 and _USER not in {it.pw_name for it in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {_USER}"
    return ""


@contextmanager
def running() -> Iterator[URL]:
    """One of a test's own, on a socket in a folder of its own."""
    user = _USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="kaito-pg-", dir="/tmp"))  # a socket's path is short
    try:
        if user:
            shutil.chown(folder, user)
        programs, data = _PROGRAMS[-1].parent, str(folder / "data")
        made = [str(programs / "initdb"), "--pgdata", data, "--username", "kaito", "--auth", "trust", "--no-sync"]
        subprocess.run(made, user=user, cwd=folder, check=True, capture_output=True, timeout=60)
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
        with (folder / "log").open("wb") as log:
            argv = [str(programs / "postgres"), "-D", data, *settings]
            server = subprocess.Popen(argv, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            ask = [str(programs / "pg_isready"), "--host", str(folder), "--quiet"]
            deadline, never = time.monotonic() + _SECONDS, threading.Event()
            while subprocess.run(ask, check=False).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                never.wait(0.05)
            yield URL.create("postgresql", username="kaito", database="postgres", query={"host": str(folder)})
        finally:
            server.send_signal(signal.SIGINT)  # which it takes as the order to end with those that are connected
            server.wait(_SECONDS)
    finally:
        shutil.rmtree(folder)
