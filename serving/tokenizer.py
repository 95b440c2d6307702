"""A model's tokenizer, by transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | None
    eos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str: ...

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
