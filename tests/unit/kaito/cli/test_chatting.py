"""``kaito chat``: one answer, a conversation, and why there is none."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask, Response
from typer.testing import CliRunner

from console.models import Turn
from kaito.api.resources import Kind, Object
from kaito.cli import chatting, clusters
from kaito.cli.chatting import Conversation, NotAnswered, converse
from kaito.cli.clusters import Cluster
from kaito.cli.main import app
from kaito.cli.planning import NoWorkspace
from tests.serving import serving
from tests.unit.console.world import Model, workspace


class Kube:
    """Has these Workspaces."""

    def __init__(self, *workspaces: Object) -> None:
        self.workspaces = workspaces

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        meta = {"name": name, "namespace": namespace}
        return next((it for it in self.workspaces if meta.items() <= it["metadata"].items()), None)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def url(model: Model) -> Iterator[str]:
    with serving(model.app) as url:
        yield url


def kaito(monkeypatch: pytest.MonkeyPatch, obj: Object, *words: str, given: str | None = None) -> Result:
    kube: Any = Kube(obj)
    monkeypatch.setattr(clusters, "cluster", lambda kubeconfig, directory: Cluster(kube, "default"))
    return CliRunner().invoke(app, ["chat", *words], input=given)


@pytest.mark.parametrize("words", [("phi", "Where is it?"), ("default/phi", "Where is it?"), ("workspace/phi",)])
def test_a_question_is_answered_once(
    monkeypatch: pytest.MonkeyPatch, model: Model, url: str, words: tuple[str, ...]
) -> None:
    done = kaito(monkeypatch, workspace(url=url), *words, given="Where is it?\n")
    assert (done.exit_code, done.stdout) == (0, "Paris it is\n")
    *_, (_, path, body) = model.asked
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Where is it?"}]
    assert "max_completion_tokens" not in body


def test_as_json_with_what_it_took_and_as_it_is_wanted(monkeypatch: pytest.MonkeyPatch, model: Model, url: str) -> None:
    more = ("--system", "Be short.", "--max-tokens", "9", "-o", "json")
    done = kaito(monkeypatch, workspace(url=url), "phi", "Where?", *more)
    assert json.loads(done.stdout) == {"text": "Paris it is", "usage": {"completion_tokens": 2}}
    body = model.asked[-1][2]
    assert [it["role"] for it in body["messages"]] == ["system", "user"]
    assert body["max_completion_tokens"] == 9


def test_a_name_under_localhost_is_this_machine(monkeypatch: pytest.MonkeyPatch, model: Model, url: str) -> None:
    there = f"http://phi.default.localhost:{url.rpartition(':')[2]}"
    assert kaito(monkeypatch, workspace(url=there), "phi", "Where?").exit_code == 0
    assert {f"http://{host}" for host, _, _ in model.asked} == {there}


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (
            workspace(message="0 of 1 nodes ready"),
            "default/phi is not ready: 0 of 1 nodes ready; see kaito why default/",
        ),
        (workspace(tuning={}), "default/phi tunes a model and serves none"),
        (workspace(url="http://127.0.0.1:1"), "default/phi does not answer: the model's server has not answered"),
    ],
)
def test_who_does_not_answer_is_said_and_why(monkeypatch: pytest.MonkeyPatch, obj: Object, said: str) -> None:
    done = kaito(monkeypatch, obj, "phi", "Where?")
    assert isinstance(done.exception, NotAnswered)
    assert str(done.exception).startswith(said)


def test_there_is_none_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    done = kaito(monkeypatch, workspace(), "phi", "Where?", "-n", "other")
    assert isinstance(done.exception, NoWorkspace)
    assert str(done.exception).startswith("there is no Workspace phi in the namespace other")


def test_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    done = kaito(monkeypatch, workspace(), "phi", given="\n")
    assert (done.exit_code, "nothing comes in" in done.output) == (2, True)


def breaking(said: str) -> Flask:
    """A server that says this in its answer, and ends."""
    app = Model().app
    app.view_functions["completions"] = lambda: Response(said, mimetype="text/event-stream")
    return app


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('data: {"error": {"message": "out of memory"}}\n\n', "default/phi breaks off: out of memory"),
        ('data: {"choices": [{"delta": {"content": "Pa"}}]}\n\n', "default/phi breaks off in the middle"),
    ],
)
def test_an_answer_that_breaks_off_is_none(monkeypatch: pytest.MonkeyPatch, said: str, why: str) -> None:
    with serving(breaking(said)) as url:
        done = kaito(monkeypatch, workspace(url=url), "phi", "Where?")
    assert isinstance(done.exception, NotAnswered)
    assert str(done.exception).startswith(why)


def asking(monkeypatch: pytest.MonkeyPatch, *questions: str | type[BaseException]) -> None:
    """Somebody types these, and then Ctrl-D."""
    left = iter(questions)

    def answer(_: str) -> str:
        question = next(left, EOFError)
        if isinstance(question, str):
            return question
        raise question

    monkeypatch.setattr(builtins, "input", answer)


def test_a_conversation_goes_on_until_ctrl_d(
    monkeypatch: pytest.MonkeyPatch, model: Model, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asking(monkeypatch, "Where?", " ", KeyboardInterrupt, "Sure?")
    converse(Conversation(workspace(url=url), None))
    out = capsys.readouterr().out
    assert out.count("Paris it is\n") == 2
    assert [it["content"] for it in model.asked[-1][2]["messages"]] == ["Where?", "Paris it is", "Sure?"]


def test_what_goes_wrong_does_not_end_it_and_was_not_asked(
    monkeypatch: pytest.MonkeyPatch, model: Model, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model.refusal = "the model holds 8192 tokens"
    asking(monkeypatch, "Where?", "Why?")
    conversation = Conversation(workspace(url=url), None, [Turn(role="system", content="Be short.")])
    converse(conversation)
    assert capsys.readouterr().err.count("default/phi does not answer: the model holds 8192 tokens") == 2
    assert [it.role for it in conversation.turns] == ["system"]


def test_ctrl_c_stops_an_answer_and_what_was_said_stays(
    monkeypatch: pytest.MonkeyPatch, model: Model, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = Conversation._pieces

    def interrupted(self: Conversation, response: Any) -> Iterator[str]:
        yield next(pieces(self, response))
        raise KeyboardInterrupt

    monkeypatch.setattr(Conversation, "_pieces", interrupted)
    conversation = Conversation(workspace(url=url), None)
    assert chatting.answered(conversation, "Where?") == 130
    assert capsys.readouterr().out == "Paris\n"
    assert [it.content for it in conversation.turns] == ["Where?", "Paris"]


def test_a_terminal_gets_no_orders_from_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(Model(("\x1b]0;x\x07", "a\tb\n", "\x9bm")).app) as url:
        conversation = Conversation(workspace(url=url), None)
        chatting.answered(conversation, "Where?")
        assert capsys.readouterr().out == "\x1b]0;x\x07a\tb\n\x9bm\n"
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        chatting.answered(conversation, "Where?")
        assert capsys.readouterr().out == "]0;xa\tb\nm\n"
