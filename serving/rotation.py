"""A file of lines that does not grow for ever."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

#: Bytes of a file; another one as large has what came before.
_MOST: Final = 16 << 20


class Rotation(io.TextIOBase):
    """Takes whole lines. A full file goes in the place of the full one before, with ``old-`` before its name."""

    def __init__(self, path: Path, most: int = _MOST) -> None:
        self._path, self._most = path, most
        self._file = path.open("a", encoding="utf-8")

    def write(self, text: str) -> int:
        if self._file.tell() > self._most:
            self._file.close()
            self._path.replace(self._path.with_name(f"old-{self._path.name}"))
            self._file = self._path.open("a", encoding="utf-8")
        return self._file.write(text)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()
