"""Text from tokens: the same whether read at once or as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.text import Detokenizer, Stopper


def decode(ids: Sequence[int]) -> str:
    """A token a byte."""
    return bytes(ids).decode(errors="replace")


def in_front(ids: Sequence[int]) -> str:
    """A token a letter; the space in front of a text is dropped, as SentencePiece does."""
    return "".join(map(chr, ids)).removeprefix(" ")


@given(st.text())
def test_pieces_are_whole_characters_and_add_up(text: str) -> None:
    made = Detokenizer(decode)
    pieces = [made.add(byte) for byte in text.encode()]
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + made.end() == text


def test_a_space_that_hangs_on_what_is_in_front_is_kept() -> None:
    made = Detokenizer(in_front)
    assert [made.add(ord(letter)) for letter in " a b"] == ["", "a", " ", "b"]


def test_half_a_character_at_the_end_is_told_as_that() -> None:
    made = Detokenizer(decode)
    assert [made.add(byte) for byte in "é".encode()[:1]] == [""]
    assert made.end() == "\ufffd"


@given(st.text("ab."), st.lists(st.text("ab.", min_size=1, max_size=3), max_size=4), st.data())
def test_however_it_comes_it_stops_at_the_first_word(text: str, words: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stopper, told = Stopper(words), ""
    for piece in pieces:
        told += stopper.add(piece)
        if stopper.stopped:
            break
    else:
        told += stopper.end()
    found = [at for at in map(text.find, words) if at >= 0]
    assert stopper.stopped is bool(found)
    # A word that ends earlier may begin later than one that is not whole yet.
    first = min((at + len(word) for word in words if (at := text.find(word)) >= 0), default=None)
    assert text.startswith(told)
    assert told == text if first is None else len(told) < first


@pytest.mark.parametrize(("pieces", "told"), [(["EN", "D"], ["", ""]), (["xEN", "x"], ["x", "ENx"])])
def test_the_beginning_of_a_word_is_held_back(pieces: list[str], told: list[str]) -> None:
    stopper = Stopper(["END"])
    assert [stopper.add(piece) for piece in pieces] == told
