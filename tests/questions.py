"""Short questions to the small model, and what is in the answer of transformers' greedy float32."""

from __future__ import annotations

import json
from typing import Final

QUESTION: Final = "What is the capital of France?"
QUESTIONS: Final = {
    QUESTION: "Paris",
    "What is the capital of Germany?": "Berlin",
    "What is the opposite of hot?": "cold",
    "Who painted the Mona Lisa?": "Leonardo",
    "What colour is the sky?": "blue",
    "How many days has a week?": "7",
}


def streamed(answer: str) -> str:
    """The text of an answer that came as a stream of OpenAI's chunks."""
    said = [json.loads(it.removeprefix("data: ")) for it in answer.strip().split("\n\n")[:-1]]
    return "".join(it["choices"][0]["delta"].get("content") or "" for it in said if it["choices"])
