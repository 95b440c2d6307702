"""``make bench-serving``: our server and a plain one, with closed-loop clients, in one run; the last line is JSON.

``ours`` and ``peers``: tokens a second by number of clients. ``agreement``: of prompts that have a short answer, the
share in which ours says what transformers' greedy float32 says, up to what is asked for. ``ratio_engine_8``: ours over
the engine's own rate with eight threads that ask it, without HTTP. ``ratio_plain_8``, ``ratio_best_peer_8``,
``ratio_llamacpp_1``: over those; null for what is not installed. ``ttft_p99_over_idle_8``: the 99th percentile of the
time to the first token with eight clients over the median with one. ``rss_mb``: the most memory that ours had.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from tokenizers import Tokenizer

from kaito.embedded.cache import cache_dir
from kaito.embedded.installer import NotInstalled
from kaito.embedded.models import SMOLLM2, ModelStore
from tests.bench import peers
from tests.integration.serving.process import Server, free_port, running, serving
from tests.questions import QUESTIONS

SECONDS: Final = 15.0
MOST: Final = 64
CLIENTS: Final = (1, 8, 32)
STORIES: Final = (
    "Tell me a long story about a cat.",
    "Explain how a bicycle works, step by step.",
    "Describe a journey by train through the mountains.",
    "Write a letter to a friend about the summer.",
    "Explain why the sky is blue.",
    "Give me a recipe for bread, in detail.",
)


@dataclass
class Seen:
    """What clients saw in a time: tokens, and the seconds to first tokens and between tokens."""

    tokens: int = 0
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


#: Ask one prompt and write down what is seen.
Ask = Callable[[httpx.Client, str, Seen], None]


def rate(ask: Ask, url: str, clients: int) -> tuple[float, Seen]:
    """Tokens a second with so many clients, each of which asks again when it has its answer."""
    over = time.monotonic() + SECONDS
    began = time.monotonic()

    def loop(number: int) -> tuple[Seen, float]:
        seen, turn = Seen(), number
        # A connection a request: some servers close one that has been used for a while, and then answer nothing.
        once = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=url, timeout=300, trust_env=False, limits=once) as client:
            while time.monotonic() < over:
                ask(client, prompt(number, turn), seen)
                turn += 1
        return seen, time.monotonic()

    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(loop, range(clients)))
    seen = Seen(
        sum(it.tokens for it, _ in done),
        [second for it, _ in done for second in it.first],
        [second for it, _ in done for second in it.between],
    )
    return seen.tokens / (max(end for _, end in done) - began), seen


def prompt(number: int, turn: int) -> str:
    """Of a client's turn: what they share is the model's system prompt, and no two are the same."""
    return f"({number}, {turn}) {STORIES[turn % len(STORIES)]}"


def asking(model: str, tokenizer: Tokenizer) -> Ask:
    """OpenAI's API, as a stream; tokens are counted in the text, for not everybody has a piece for each."""

    def ask(client: httpx.Client, prompt: str, seen: Seen) -> None:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": MOST,
            "temperature": 0,
            "stream": True,
        }
        last, times, pieces = time.monotonic(), seen.first, list[str]()
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                if not line.startswith("data: {"):
                    continue
                choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
                piece = (choices[0].get("delta") or {}).get("content")
                if not piece:
                    continue
                now = time.monotonic()
                times.append(now - last)
                pieces.append(piece)
                last, times = now, seen.between
        seen.tokens += len(tokenizer.encode("".join(pieces), add_special_tokens=False).ids)

    return ask


def ask_plain(client: httpx.Client, prompt: str, seen: Seen) -> None:
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": MOST}
    answer = client.post("/chat", json=body)
    answer.raise_for_status()
    seen.tokens += answer.json()["tokens"]


@contextmanager
def plain(weights: Path, log: Path) -> Iterator[Server]:
    port = free_port()
    with running([sys.executable, "-m", "tests.bench.plain", str(weights), str(port)], port, log) as server:
        yield server


def engine_alone(weights: Path, clients: int) -> float:
    """Tokens a second of the engine itself, in a process of its own; as many threads ask it."""
    argv = [sys.executable, "-m", "tests.bench.engine", str(weights), str(clients), str(SECONDS), str(MOST)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def agreement(server: Server) -> float:
    """Asked while others are answered, as it is used."""

    def right(prompt: str) -> bool:
        body = {"model": "smollm2", "messages": [{"role": "user", "content": prompt}], "max_tokens": 16}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).json()
        return QUESTIONS[prompt] in answer["choices"][0]["message"]["content"]

    with ThreadPoolExecutor(8) as pool:
        return statistics.mean(pool.map(right, [*QUESTIONS] * 4))


def most_memory(pid: int) -> float:
    """MB, of the process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for process in (pid, *map(int, children)):
        status = Path(f"/proc/{process}/status").read_text()
        total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return round(total / 1024)


def streamed(name: str, ask: Ask, url: str) -> tuple[dict[int, float], dict[int, Seen]]:
    """Tokens a second, and what was seen, by number of clients; told as it comes."""
    rates, seen = dict[int, float](), dict[int, Seen]()
    for clients in CLIENTS:
        rates[clients], seen[clients] = rate(ask, url, clients)
        first, between = seen[clients].first, seen[clients].between
        print(
            f"{name}, {clients:>2} clients: {rates[clients]:6.1f} tokens/s, to the first token"
            f" p50 {percentile(first, 0.5):.3f} s p99 {percentile(first, 0.99):.3f} s,"
            f" between tokens p50 {percentile(between, 0.5):.3f} s p99 {percentile(between, 0.99):.3f} s",
            flush=True,
        )
    return rates, seen


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    store = ModelStore(cache_dir())
    content = store.resolve(SMOLLM2.image)
    assert content is not None, "make setup has not run"
    weights, plains = content / "weights", dict[int, float]()
    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    with tempfile.TemporaryDirectory(prefix="kaito-bench-") as folder:
        began = time.monotonic()
        with serving(weights, Path(folder) / "ours.log", "--backend=openvino", "--name=smollm2") as server:
            ready = time.monotonic() - began
            ours, seen = streamed("ours", asking("smollm2", tokenizer), server.url)
            agreed, memory = agreement(server), most_memory(server.process.pid)
        engine = engine_alone(weights, 8)
        print(f"the engine without HTTP, 8 prompts: {engine:.1f} tokens/s; ready after {ready:.1f} s")
        with plain(weights, Path(folder) / "plain.log") as other:
            for clients in CLIENTS[:2]:
                plains[clients], _ = rate(ask_plain, other.url, clients)
                print(f"plain transformers, {clients} clients: {plains[clients]:.1f} tokens/s")
        others = {"plain": plains}
        for find in (partial(peers.transformers_serve, weights), partial(peers.llama_cpp, CLIENTS[-1])):
            try:
                peer = find()
                with peers.running(peer, Path(folder) / f"{peer.name}.log") as url:
                    others[peer.name], _ = streamed(peer.name, asking(peer.model, tokenizer), url)
            except (NotInstalled, RuntimeError, OSError, AssertionError, httpx.HTTPError) as error:
                print(f"not here: {error}")
    llama = others.get("llama.cpp")
    figures: dict[str, Any] = {
        "ours": {clients: round(value, 1) for clients, value in ours.items()},
        "peers": {
            name: {clients: round(value, 1) for clients, value in rates.items()} for name, rates in others.items()
        },
        "agreement": round(agreed, 3),
        "ratio_engine_8": round(ours[8] / engine, 3),
        "ratio_plain_8": round(ours[8] / plains[8], 2),
        "ratio_best_peer_8": round(ours[8] / max(rates[8] for rates in others.values()), 2),
        "ratio_llamacpp_1": round(ours[1] / llama[1], 2) if llama else None,
        "ttft_p99_over_idle_8": round(percentile(seen[8].first, 0.99) / percentile(seen[1].first, 0.5), 2),
        "rss_mb": memory,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
