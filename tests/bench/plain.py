"""The plain server that ``make bench-serving`` measures ours against: transformers' own pipeline, one call a request.

``python -m tests.bench.plain WEIGHTS PORT``. That is what the reference operator's server does, but for its adapters.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import flask

from tests.serving import serving


def main(weights: Path, port: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32, local_files_only=True)
    generate = pipeline("text-generation", model=model, tokenizer=tokenizer)
    app, turn = flask.Flask("plain"), threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "Healthy"}

    @app.post("/chat")
    def chat() -> flask.typing.ResponseReturnValue:
        asked = flask.request.get_json(force=True)
        with turn:
            (made,) = generate(asked["messages"], do_sample=False, max_new_tokens=asked["max_tokens"])
        text = made["generated_text"][-1]["content"]
        return {"text": text, "tokens": len(tokenizer.encode(text))}

    with serving(app, port=port):
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
