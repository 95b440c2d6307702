"""All sorts of requests at once: everybody gets their own answer, and nothing is left of who has gone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.integration.serving.process import serving
from tests.integration.serving.test_openai import until_idle
from tests.questions import QUESTIONS

REQUESTS, CLIENTS = 400, 24
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
        }
        (kind,) = self._dice.choices(list(kinds), list(kinds.values()))
        return kind()

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
            httpx.post(f"{self._url}/chat", json=asked, timeout=self._dice.uniform(0.01, 0.5))
        except httpx.TimeoutException:
            return "hung up"
        return "wrong: so many tokens in half a second?"

    def _nonsense(self) -> str:
        url = self._url + self._dice.choice(ROUTES)
        return str(httpx.post(url, content=self._dice.choice(BAD), timeout=60).status_code)

    def _too_long(self) -> str:
        return str(httpx.post(f"{self._url}/chat", json={"prompt": "word " * 9000}, timeout=60).status_code)


def test_everybody_gets_their_own_answer_and_nothing_is_left(weights: Path, tmp_path: Path) -> None:
    with serving(weights, tmp_path / "log", "--backend=openvino", "--name=m") as server:
        with ThreadPoolExecutor(CLIENTS) as pool:
            came = Counter(pool.map(lambda number: Client(server.url, number).ask(), range(REQUESTS)))
        until_idle(server)
        assert httpx.get(f"{server.url}/health", timeout=5).status_code == 200
    assert came.keys() - {"unclear"} == {"right", "hung up", "400"}, came
    assert came["unclear"] <= 0.05 * came["right"], (
        "in a batch the last digits of a number differ, and rarely the token"
    )
    assert "Traceback" not in server.log.read_text()
