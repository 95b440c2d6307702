"""How stories end: well, badly or interrupted. The stories themselves are e2e tests."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from kaito.cli import story as stories
from kaito.cli.story import DemoError, Story, Tale, run


class StoppedPlatform:
    """Only remembers that it was stopped."""

    port = 1
    stopped = 0

    @staticmethod
    def route(namespace: str, name: str) -> str:
        return f"http://{name}.{namespace}.localhost:1"

    def __init__(self, directory: Path, *, azure: None) -> None:
        assert azure is None
        directory.mkdir()

    def stop(self) -> None:
        type(self).stopped += 1


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Tale], tuple[bool, str]]:
    """Runs a story; whether it came to its end, and what was printed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stories, "Platform", StoppedPlatform)
    monkeypatch.setattr(stories, "configure", lambda file: None)  # other tests log too
    monkeypatch.setattr(StoppedPlatform, "stopped", 0)

    def tell(tale: Tale) -> tuple[bool, str]:
        console = Console(file=io.StringIO(), width=200, record=True)
        return run(console, tale), console.export_text()

    return tell


def test_a_good_end_leaves_nothing(demo: Callable[[Tale], tuple[bool, str]], tmp_path: Path) -> None:
    ok, text = demo(lambda story: {"ok": True, "answer": "Paris, of course"})
    assert ok
    assert json.loads(text.splitlines()[-1])["answer"] == "Paris, of course"
    assert StoppedPlatform.stopped == 1
    assert list(tmp_path.iterdir()) == []


def failing(story: Story) -> dict[str, Any]:
    raise DemoError("kubectl said [/x] no")


@pytest.mark.parametrize(
    ("story", "words"), [(failing, "[/x] no"), (lambda story: {"ok": False, "answer": "London"}, "London")]
)
def test_a_bad_end_keeps_the_logs_and_says_where(
    demo: Callable[[Tale], tuple[bool, str]], tmp_path: Path, story: Tale, words: str
) -> None:
    ok, text = demo(story)
    (kept,) = tmp_path.iterdir()
    assert not ok
    assert words in text
    assert f"Its logs are in {kept}" in text
    assert (kept / "platform.log").exists()
    assert json.loads(text.splitlines()[-1])["ok"] is False
    assert StoppedPlatform.stopped == 1


def test_an_interrupt_stops_it_and_leaves_nothing(demo: Callable[[Tale], tuple[bool, str]], tmp_path: Path) -> None:
    def interrupted(story: Story) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(interrupted)
    assert StoppedPlatform.stopped == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]"])
def test_an_answer_that_is_none_is_an_error_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes
) -> None:
    def post(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=body, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    platform: Any = StoppedPlatform
    with pytest.raises(DemoError, match="no JSON object with a Result") as failed:
        Story(Console(file=io.StringIO()), platform, tmp_path).ask("phi", "Hi")
    assert body.decode() in str(failed.value)
