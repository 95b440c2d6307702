"""What OpenAI's API tells of each token of an answer: how likely it was, and which others were likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving.engine import Token

#: A token's letters.
Spell = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Spelled:
    """A token and the natural logarithm of its probability."""

    spelled: bytes
    logprob: float

    @property
    def text(self) -> str:
        return self.spelled.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token of the answer, whose text begins ``at`` that letter of it, and the likeliest that there were."""

    token: Spelled
    at: int
    likeliest: Sequence[Spelled]


class Logprobs:
    """Those of the tokens whose text has been passed on, each told once."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._held: list[Chosen] = []

    def add(self, token: Token, at: int) -> None:
        if token.logprob is not None:
            likeliest = [Spelled(self._spell(it), logprob) for it, logprob in token.likeliest]
            self._held.append(Chosen(Spelled(self._spell(token.id), token.logprob), at, likeliest))

    def before(self, end: int) -> list[Chosen]:
        """Those that begin before that letter: what a stop word has cut off is not told of, nor is the end token."""
        told = [chosen for chosen in self._held if chosen.at < end]
        del self._held[: len(told)]
        return told


def of_chat(told: Sequence[Chosen]) -> dict[str, Any]:
    """As a chat completion has them."""
    content = [{**_entry(it.token), "top_logprobs": [_entry(other) for other in it.likeliest]} for it in told]
    return {"content": content, "refusal": None}


def of_text(told: Sequence[Chosen], offset: int) -> dict[str, Any]:
    """As a completion has them, whose text begins with so many letters that were echoed."""
    return {
        "tokens": [it.token.text for it in told],
        "token_logprobs": [it.token.logprob for it in told],
        "top_logprobs": [{other.text: other.logprob for other in it.likeliest} for it in told],
        "text_offset": [offset + it.at for it in told],
    }


def _entry(token: Spelled) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.spelled)}
