"""All sorts of requests at once: everybody gets their own answer, and nothing is left of who has gone.

``REQUESTS=10000`` in the environment asks more of it than a test run has time for.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.integration.serving.process import Server, figure, serving, until, until_idle
from tests.questions import QUESTIONS

REQUESTS, CLIENTS = int(os.environ.get("REQUESTS", "300")), 24
BAD = (b"{", b"", b"[]", b'{"prompt": 1}', b"\xff\xfe")
ROUTES = ("/chat", "/v1/chat/completions", "/v1/completions")


class Client:
    """One request of a kind that its number decides; what came of it in a word."""

    def __init__(self, url: str, number: int) -> None:
        self._url, self._number, self._dice = url, number, random.Random(number)

    def ask(self) -> str:
        kinds: dict[Callable[[], str], int] = {
            self._question: 9,
            self._beams: 2,
            self._hang_up: 3,
            self._lose_patience: 2,
            self._nonsense: 3,
            self._too_long: 1,
            self._schema: 2,
            self._impossible: 1,
        }
        (kind,) = self._dice.choices(list(kinds), list(kinds.values()))
        try:
            return kind()
        except (httpx.TransportError, LookupError) as error:
            return self._cut_off(error)

    @staticmethod
    def _cut_off(error: Exception) -> str:
        """Its worker died, or another one is loading the model."""
        return f"cut off: {type(error).__name__}"

    def _question(self) -> str:
        question = self._dice.choice([*QUESTIONS])
        asked = {"model": "m", "messages": [{"role": "user", "content": question}], "max_tokens": 16}
        answer = httpx.post(f"{self._url}/v1/chat/completions", json=asked, timeout=120).json()
        said = answer["choices"][0]["message"]["content"]
        if QUESTIONS[question] in said:
            return "right"
        others = [other for other, word in QUESTIONS.items() if word in said]
        return f"wrong: {question} {said}" if others else "unclear"

    def _beams(self) -> str:
        asked = {"prompt": "What is the capital of France?", "generate_kwargs": {"num_beams": 2, "max_new_tokens": 12}}
        answer = httpx.post(f"{self._url}/chat", json=asked, timeout=120)
        return "right" if "Paris" in answer.json()["Result"] else f"wrong: {answer.text}"

    def _hang_up(self) -> str:
        asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"Story {self._number}"}]}
        with httpx.stream("POST", f"{self._url}/v1/chat/completions", json=asked, timeout=120) as answer:
            for _ in zip(range(self._dice.randint(1, 20)), answer.iter_lines(), strict=False):
                pass
        return "hung up"

    def _lose_patience(self) -> str:
        asked = {"prompt": f"Story {self._number}", "generate_kwargs": {"max_new_tokens": 2000, "min_new_tokens": 2000}}
        try:
            answer = httpx.post(f"{self._url}/chat", json=asked, timeout=self._dice.uniform(0.01, 0.5))
        except httpx.TimeoutException:
            return "hung up"
        said = answer.json()["Result"]
        return f"wrong: {said} in half a second?"

    def _nonsense(self) -> str:
        url = self._url + self._dice.choice(ROUTES)
        return str(httpx.post(url, content=self._dice.choice(BAD), timeout=60).status_code)

    def _schema(self) -> str:
        number = self._dice.randint(0, 10**9)  # nobody else is held to it
        schema = {"type": "object", "properties": {"number": {"const": number}}, "required": ["number"]}
        said = self._held_to({**schema, "additionalProperties": False}).json()["choices"][0]["message"]["content"]
        return "right" if json.loads(said) == {"number": number} else f"wrong: {number} {said}"

    def _impossible(self) -> str:
        return str(self._held_to({"type": "string", "pattern": "(?<=a)b"}).status_code)

    def _held_to(self, schema: dict[str, Any]) -> httpx.Response:
        wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
        asked = {"model": "m", "messages": [{"role": "user", "content": "A number?"}], "response_format": wanted}
        return httpx.post(f"{self._url}/v1/chat/completions", json=asked | {"max_tokens": 60}, timeout=120)

    def _too_long(self) -> str:
        return str(httpx.post(f"{self._url}/chat", json={"prompt": "word " * 9000}, timeout=60).status_code)


def test_everybody_gets_their_own_answer_and_nothing_is_left(weights: Path, tmp_path: Path) -> None:
    with serving(weights, tmp_path / "log", "--backend=openvino", "--name=m") as server:
        before = descriptors(server)
        with ThreadPoolExecutor(CLIENTS) as pool:
            came = Counter(pool.map(lambda number: Client(server.url, number).ask(), range(REQUESTS)))
        until_idle(server)
        assert httpx.get(f"{server.url}/health", timeout=5).status_code == 200
        left = descriptors(server)
    assert came.keys() - {"unclear"} == {"right", "hung up", "400"}, came
    assert came["unclear"] <= 0.05 * came["right"], (
        "in a batch the last digits of a number differ, and rarely the token"
    )
    assert left <= before + CLIENTS, "sockets of clients that have gone"
    assert "Traceback" not in server.log.read_text()


def test_a_worker_that_is_killed_takes_only_what_it_had(weights: Path, tmp_path: Path) -> None:
    with serving(weights, tmp_path / "log", "--backend=openvino", "--name=m") as server:
        killed = worker(server)
        begun = threading.Barrier(CLIENTS + 1)

        def ask(number: int) -> list[str]:
            begun.wait()
            return [Client(server.url, number * 100 + turn).ask() for turn in range(5)]

        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = [pool.submit(ask, number) for number in range(CLIENTS)]
            begun.wait()
            until(lambda: figure(server, "kaito_requests_running") > 0)
            os.kill(killed, signal.SIGKILL)
            came = Counter(word for it in asked for word in it.result())
        until(lambda: httpx.get(f"{server.url}/health", timeout=5).status_code == 200)
        assert worker(server) != killed
        until_idle(server)
        assert Client(server.url, 1)._question() == "right"
    assert not [word for word in came if word.startswith("wrong")], came
    assert sum(count for word, count in came.items() if word.startswith("cut off")) > 0, came


def worker(server: Server) -> int:
    """The process that has the model."""
    pid = server.process.pid
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{worker(server)}/fd").iterdir()))
