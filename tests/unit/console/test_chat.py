"""What a model is asked, and where: by the name that the API server has for it, and no other."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from console.chat import AT_ONCE, Chats
from console.models import NotAsked
from tests.serving import serving
from tests.unit.console.world import Model, workspace

QUESTION = json.dumps({"messages": [{"role": "user", "content": "What is the capital of France?"}]}).encode()


def test_the_answer_comes_as_the_server_says_it() -> None:
    model = Model()
    with serving(model.app) as url:
        answer = b"".join(Chats(inside=False).ask(workspace(url=url), QUESTION)).decode()
    assert [json.loads(it.removeprefix("data: "))["choices"] for it in answer.split("\n\n")[:2]] == [
        [{"delta": {"content": "Paris"}}],
        [{"delta": {"content": " it is"}}],
    ]
    assert answer.endswith("data: [DONE]\n\n")
    _, path, body = model.asked[-1]
    assert path == "/v1/chat/completions"
    assert (body["model"], body["stream"], body["messages"][0]["role"]) == ("phi-3-mini", True, "user")


def test_a_name_under_localhost_is_this_machine() -> None:
    model = Model()
    with serving(model.app) as url:
        port = url.rpartition(":")[2]
        list(Chats(inside=False).ask(workspace(url=f"http://phi.default.localhost:{port}"), QUESTION))
    assert {host for host, _, _ in model.asked} == {f"phi.default.localhost:{port}"}


def test_inside_the_cluster_no_url_of_an_object_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get(_: httpx.Client, url: httpx.URL, **_more: Any) -> httpx.Response:
        asked.append(str(url))
        raise httpx.ConnectError("no such name")

    monkeypatch.setattr(httpx.Client, "get", get)
    with pytest.raises(NotAsked, match="no such name"):
        Chats(inside=True).ask(workspace(url="http://169.254.169.254"), QUESTION)
    assert asked == ["http://phi.default.svc.cluster.local/v1/models"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body: Invalid JSON"),
        (b'{"messages": []}', "messages: Tuple should have at least 1 item"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "messages.0.role: Input should be"),
        (b'{"messages": [{"role": "user", "content": "x"}], "url": "http://x"}', "url: Extra inputs"),
    ],
)
def test_what_is_no_question_is_said(body: bytes, said: str) -> None:
    with pytest.raises(NotAsked, match=said) as caught:
        Chats(inside=False).ask(workspace(url="http://127.0.0.1:1"), body)
    assert caught.value.status == 400
    assert '{"messages":' in str(caught.value)


def test_who_is_not_ready_is_not_asked() -> None:
    chats = Chats(inside=False)
    for obj, status in ((None, 404), (workspace(), 409)):
        with pytest.raises(NotAsked) as caught:
            chats.ask(obj, QUESTION)
        assert caught.value.status == status


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/passwd", "http://[", "javascript:alert(1)"])
def test_who_does_not_answer_is_named(url: str) -> None:
    with pytest.raises(NotAsked) as caught:
        Chats(inside=False).ask(workspace(url=url), QUESTION)
    assert caught.value.status == 502


def test_what_the_server_says_is_wrong_is_passed_on_and_the_place_is_free_again() -> None:
    model, chats = Model(), Chats(inside=False)
    model.refusal = "the model holds 8192 tokens"
    with serving(model.app) as url:
        for _ in range(AT_ONCE + 1):
            with pytest.raises(NotAsked, match="the model holds 8192 tokens") as caught:
                chats.ask(workspace(url=url), QUESTION)
            assert caught.value.status == 400


def test_so_many_at_once_and_a_place_is_free_when_an_answer_has_ended_or_nobody_listens() -> None:
    chats = Chats(inside=False)
    with serving(Model().app) as url:
        open_ = [chats.ask(workspace(url=url), QUESTION) for _ in range(AT_ONCE)]
        with pytest.raises(NotAsked, match="ask again later") as caught:
            chats.ask(workspace(url=url), QUESTION)
        assert caught.value.status == 429
        list(open_[0])
        second: Any = open_[1]
        second.close()
        second.close()
        for _ in range(2):
            chats.ask(workspace(url=url), QUESTION)
        with pytest.raises(NotAsked, match="ask again later"):
            chats.ask(workspace(url=url), QUESTION)
