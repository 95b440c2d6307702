"""A model's tokenizer, by transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

#: What a tokenizer gives for bytes that are no whole character.
_HALF: Final = "\ufffd"


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | None
    eos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str: ...

    def convert_ids_to_tokens(self, ids: int) -> str: ...

    def apply_chat_template(
        self,
        conversation: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        return_dict: bool,
    ) -> Any: ...


def read_tokenizer(weights: Path) -> Tokenizer:
    """The one in that directory; where it is all in one file, by a class whose import takes two seconds, not five."""
    file = weights / "tokenizer_config.json"
    if file.is_file() and json.loads(file.read_text()).get("tokenizer_class") == "PreTrainedTokenizerFast":
        from transformers import PreTrainedTokenizerFast as Reader
    else:
        from transformers import AutoTokenizer as Reader
    found: Tokenizer = Reader.from_pretrained(weights, local_files_only=True)
    return found


def spelled(tokenizer: Tokenizer, token: int) -> bytes:
    """The letters of a token, which alone may be a part of one."""
    text = tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if _HALF not in text:
        return text.encode()
    piece = tokenizer.convert_ids_to_tokens(token)
    if (one := re.fullmatch(r"<0x([0-9A-F]{2})>", piece)) is not None:  # as SentencePiece writes a byte
        return bytes([int(one[1], 16)])
    if all(letter in _BYTES for letter in piece):
        return bytes(_BYTES[letter] for letter in piece)
    return text.encode()


def _letters_of_bytes() -> dict[str, int]:
    """The letters by which byte-level BPE writes bytes: those that can be seen as they are, the others from 256 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTES: Final = _letters_of_bytes()
