"""What lies in an OCI registry, read and written as a plain user: no docker, no privilege."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Says beside the files that were pulled what they are and how long it took.
RECORD: Final = ".pulled.json"
#: Where kubelet looks for the last words of a container.
LAST_WORDS: Final = Path("/dev/termination-log")
