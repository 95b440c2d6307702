"""Signals to a program that waits for one."""

from __future__ import annotations

import subprocess
import sys

#: A thread gets the signal, and the one that waits is not woken by it.
PROGRAM = """
import signal, threading
from kaito.cli.interrupts import sigterm_as_ctrl_c, until_ctrl_c

sigterm_as_ctrl_c()
other = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
other.daemon = True
other.start()
try:
    until_ctrl_c()
except KeyboardInterrupt:
    print("heard")
"""


def test_a_signal_that_wakes_nobody_is_heard_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
