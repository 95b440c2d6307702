"""The engine without a server, for ``make bench-serving``; prints tokens a second.

``python -m tests.bench.engine WEIGHTS CLIENTS SECONDS MOST``
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.backends.openvino import OpenVinoEngine
from serving.chat import GenerateOptions
from serving.pipeline import load
from tests.bench.serving import prompt


def main(weights: Path, clients: int, seconds: float, most: int) -> None:
    pipeline = load({"it": OpenVinoEngine.load(weights)}, weights, "conversational", GenerateOptions())["it"]
    over = time.monotonic() + seconds
    began = time.monotonic()

    def loop(number: int) -> tuple[int, float]:
        tokens, turn = 0, number
        while time.monotonic() < over:
            made = pipeline.complete(
                [{"role": "user", "content": prompt(number, turn)}], GenerateOptions(max_new_tokens=most)
            )
            tokens += sum(bool(piece) for piece in made)
            turn += 1
        return tokens, time.monotonic()

    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(loop, range(clients)))
    print(sum(tokens for tokens, _ in done) / (max(end for _, end in done) - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
