"""Short questions to the small model, and what is in the answer of transformers' greedy float32."""

from __future__ import annotations

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
