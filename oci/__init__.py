"""What lies in an OCI registry, read as a plain user: no docker, no privilege."""

from __future__ import annotations

from typing import Final

#: Says beside the files that were pulled what they are and how long it took.
RECORD: Final = ".pulled.json"
