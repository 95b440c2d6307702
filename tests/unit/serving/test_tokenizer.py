"""The letters of a token, which may be a part of one, as the kinds of tokenizers write them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from serving.tokenizer import spelled


def of_bytes() -> PreTrainedTokenizerFast:
    """Byte-level BPE that has learned nothing: a token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=fast)


BYTES = of_bytes()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_together_they_are_the_text(text: str) -> None:
    ids = BYTES.encode(text)
    assert b"".join(spelled(BYTES, token) for token in ids) == text.encode()


class Pieces:
    """A tokenizer of these pieces, which reads none of them as text."""

    chat_template = eos_token_id = None

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        raise NotImplementedError

    apply_chat_template = encode

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        return "\ufffd" * len(ids)

    def convert_ids_to_tokens(self, ids: int) -> str:
        return self._pieces[ids]


@pytest.mark.parametrize(("piece", "letters"), [("<0xE2>", b"\xe2"), ("ĠÂ", b" \xc2"), ("▁x\ufffd", b"\xef\xbf\xbd")])
def test_a_part_of_a_letter_is_its_bytes_where_they_can_be_known(piece: str, letters: bytes) -> None:
    assert spelled(Pieces(piece), 0) == letters  # type: ignore[arg-type]
