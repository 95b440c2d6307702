"""A lock between processes that no crash leaves behind: the kernel's flock, the holder's pid in the file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class LockHeldError(Exception):
    """Another process holds the lock; ``pid`` is who, or None where it has not said so yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is held by {f'process {pid}' if pid else 'another process'}")
        self.path, self.pid = path, pid


class FileLock:
    """Held from ``acquire`` to ``release`` or the end of this process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self, waiting: Callable[[LockHeldError], None] | None = None) -> None:
        """Take the lock. Where another has it, call ``waiting`` and wait, or raise LockHeldError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = LockHeldError(self._path, _pid(self._path))
                if waiting is None:
                    raise held from None
                waiting(held)
                fcntl.flock(fd, fcntl.LOCK_EX)
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give it back; nothing happens where it is not held. The file stays: removing it would race."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def holder(path: Path) -> int | None:
    """The pid that holds the lock at ``path`` now, None where nobody does."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(path)
    else:
        return None
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[LockHeldError], None]) -> Iterator[None]:
    """Hold the lock at ``path`` for the block, waiting for it if need be."""
    lock = FileLock(path)
    lock.acquire(waiting)
    try:
        yield
    finally:
        lock.release()


def _pid(path: Path) -> int | None:
    text = path.read_text()
    return int(text) if text.isdigit() else None
