"""Process 1 of the node: runs the command it is given and reaps the orphans of everybody.

The shims of containers lose their parents, and only a process that waits for any child takes their ends. That process
cannot also be one that waits for certain children, so it is this one, which does nothing else. When it ends, the kernel
ends all other processes of the node.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run ``argv`` to its end; returns its exit code, negative for a signal."""
    child = subprocess.Popen(argv)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
