"""Tokens from one thread to another, and errors in a line."""

from __future__ import annotations

import threading

import pytest

from serving.engine import Stream, Token, first_line


def test_tokens_come_as_they_are_put_and_then_it_is_over() -> None:
    stream = Stream()
    stream.put(Token(1))
    assert next(stream) == Token(1)

    def make() -> None:
        stream.put(Token(0))
        stream.end()

    later = threading.Thread(target=make)
    later.start()
    assert list(stream) == [Token(0)]
    assert list(stream) == []
    later.join()


def test_what_went_wrong_is_raised_where_it_is_read() -> None:
    stream = Stream()
    stream.put(Token(1))
    stream.end(RuntimeError("out of memory"))
    assert next(stream) == Token(1)
    with pytest.raises(RuntimeError, match="out of memory"):
        next(stream)
    assert list(stream) == []


def test_who_makes_them_sees_that_it_is_closed() -> None:
    stream = Stream()
    assert not stream.closed
    stream.close()
    assert stream.closed


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("\nbad header\nat byte 3"), "bad header"), (KeyError(), "KeyError")]
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
