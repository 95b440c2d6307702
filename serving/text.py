"""Tokens become text as they come: whole characters, up to where a client wants it to stop. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
#: What a tokenizer gives for bytes that are no whole character yet.
_HALF = "\ufffd"


class Detokenizer:
    """The text that each token adds. Tokens are read after those before them: a space may hang on what is in front."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._from = self._told = 0

    def add(self, token: int) -> str:
        """What it adds; nothing while a character is not whole."""
        self._ids.append(token)
        return self._new(whole=True)

    def end(self) -> str:
        """What is left, whole or not."""
        return self._new(whole=False)

    def _new(self, *, whole: bool) -> str:
        before = self._decode(self._ids[self._from : self._told])
        text = self._decode(self._ids[self._from :])
        if whole and text.endswith(_HALF):
            return ""
        self._from, self._told = self._told, len(self._ids)
        return text[len(before) :]


def begun(text: str, word: str) -> int:
    """How many letters at the end of ``text`` are the beginning of ``word``."""
    return next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if text.endswith(word[:n])), 0)


class Stopper:
    """Passes text on up to the first of the ``words``; the beginning of one is held back until it is clear."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.stopped = False

    def add(self, text: str) -> str:
        """What may be passed on now."""
        seen = self._held + text
        found = [at for at in map(seen.find, self._words) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return seen[: min(found)]
        keep = max((begun(seen, word) for word in self._words), default=0)
        self._held = seen[len(seen) - keep :]
        return seen[: len(seen) - keep]

    def end(self) -> str:
        """What was held back and was none."""
        held, self._held = self._held, ""
        return held
