from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Poll a condition; fails the test when it does not hold within 10 s."""

    def poll(condition: Callable[[], bool]) -> None:
        never, deadline = threading.Event(), time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            never.wait(0.01)

    return poll
