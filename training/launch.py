"""``python -m training.launch``: starts the training, one process a GPU, and again where it was cut short.

It goes on from its last checkpoint then, which a new pod would not have.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from training.failure import EXIT_CODE
from training.log import configure
from training.words import said_last

#: Starts before it is given up.
TRIES: Final = 3
#: The exit code of what the kernel has ended for its memory, as a shell says it.
_KILLED: Final = 128 + signal.SIGKILL
_log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits as the training does; with EXIT_CODE where only a person can help."""
    parser = argparse.ArgumentParser(prog="training.launch", description="Tune a model, whatever happens meanwhile.")
    parser.add_argument("--processes", type=int, default=1, help="as many as there are GPUs")
    flags, passed = parser.parse_known_args(arguments)
    configure()
    code = 0
    for number in range(1, TRIES + 1):
        code = _run(command(flags.processes, passed))
        if code and said_last().get("permanent"):
            code = EXIT_CODE
        if code in (0, EXIT_CODE, _KILLED) or number == TRIES:
            break
        _log.warning("training.again", code=code, start=number + 1)
    sys.exit(code)


def command(processes: int, passed: Sequence[str]) -> list[str]:
    """PyTorch's launcher is for several, with GPUs or without: it gives each process its place."""
    if processes == 1:
        return [sys.executable, "-m", "training", *passed]
    launch = ["torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    return [sys.executable, "-m", *launch, "--module", "training", *passed]


def _run(argv: Sequence[str]) -> int:
    """Its exit code, when it has ended; SIGTERM is passed on, and is the end."""
    process = subprocess.Popen(argv, env=dict(os.environ))
    asked = 0

    def stop(number: int, _: object) -> None:
        nonlocal asked
        asked = number
        process.send_signal(number)  # and no more: wait() below has the lock that another would wait for

    before = signal.signal(signal.SIGTERM, stop)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if asked:
        sys.exit(128 + asked)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
