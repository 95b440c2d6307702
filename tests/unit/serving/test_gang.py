"""What the leader of a gang does where whoever asked has gone. Gangs themselves are in tests/integration/serving."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serving import gang
from serving.chat import GenerateOptions
from serving.engine import Stream, Token
from serving.gang import Leader


class Line:
    """The others hear everything."""

    def say(self, word: object) -> None:
        """They have."""


class Engine:
    window = 100

    def __init__(self) -> None:
        self.made = Stream()

    def generate(
        self,
        ids: Sequence[int],
        options: GenerateOptions,
        new_tokens: int,
        likeliest: int | None = None,
    ) -> Stream:
        for token in range(new_tokens):
            self.made.put(Token(token))
        self.made.end()
        return self.made


def test_once_begun_all_take_all_steps_though_nobody_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gang, "_Line", Line)
    broken: list[bool] = []
    engine = Engine()
    tokens = Leader(engine, lambda: broken.append(True)).generate([1], GenerateOptions(), 5)
    assert next(tokens) == Token(0)
    tokens.close()
    assert not engine.made.closed, "the others would wait for this process for ever"
    assert list(engine.made) == [], "all of its steps were taken"
    assert not broken
