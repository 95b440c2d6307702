"""Ctrl-C and SIGTERM: both stop what runs in order, and neither interrupts the stopping."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Final, NoReturn

#: Seconds after which a signal is heard of that has woken nobody.
_PULSE: Final = 0.5


def sigterm_as_ctrl_c() -> None:
    """From now on SIGTERM raises KeyboardInterrupt in the main thread too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def until_ctrl_c() -> NoReturn:
    """Do nothing, in the main thread, until one of them raises KeyboardInterrupt.

    A signal that comes just before the thread falls asleep, or that another thread gets, wakes nobody: it is acted on
    when this one wakes by itself.
    """
    never = threading.Event()
    while True:
        never.wait(_PULSE)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore both for the block."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
