"""What is traced of a start and of requests, and that nothing is where nobody asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from eventing.traces.span import Span, from_otlp
from kaito.api.tracing import root_span, trace_id, traceparent
from serving import metrics, tracing
from serving.app import create_app
from serving.chat import ChatRequest, GenerateOptions, RequestError
from serving.engine import ModelError, Token
from serving.pipeline import Completion, Gone
from serving.rotation import Rotation
from serving.spans import Spans
from serving.startup import Model, NotReadyError, Startup
from tests.collector import Collector

UID = "d60781a7-7f74-4abb-8aea-e983a285ea56"
ASKED = {"prompt": "Hi"}
#: Somebody's own trace, as W3C's examples have it.
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Made:
    """Three tokens of one letter, or what the prompt says."""

    dialect = None

    def answer(self, request: ChatRequest, gone: Gone) -> str:
        if request.prompt == "refuse":
            raise RequestError("No.")
        if request.prompt == "crash":
            raise RuntimeError("out of memory")
        metrics.prompted(5)
        return "".join("a" for _ in metrics.measured(range(3)))

    def complete(self, asked: object, options: GenerateOptions, stop: object, **_: object) -> Completion:
        metrics.prompted(5)
        return Completion(_Tokens(), lambda ids: "a" * len(ids), 5, 3, None, ())


class _Tokens:
    def __iter__(self) -> Iterator[Token]:
        return iter([Token(1), Token(2), Token(3)])

    def close(self) -> None: ...


class Traced:
    """A server whose spans go to a folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.ready = folder, True
        self.tracer = Spans.of({"TRACEPARENT": traceparent(UID), "K_REVISION": "phi-00001", **environment}, folder)
        app = create_app(self._model)
        app.wsgi_app = self.tracer.around(app.wsgi_app)  # type: ignore[method-assign, assignment]
        self.client: FlaskClient = app.test_client()

    def _model(self, name: str) -> Model:
        if not self.ready:
            raise NotReadyError("The model is being loaded")
        return Made()

    def spans(self) -> list[Span]:
        self.tracer.flush()
        lines = [line for file in sorted(self.folder.iterdir()) for line in file.read_text().splitlines()]
        return sorted((it for line in lines for it in from_otlp(json.loads(line))), key=lambda it: it.began)

    def ask(self, traceparent: str = "", **asked: Any) -> Span:
        """The span of this one."""
        before = {it.id for it in self.spans()}
        headers = {"traceparent": traceparent} if traceparent else {}
        self.client.post("/chat", json=asked or ASKED, headers=headers).close()
        (found,) = [it for it in self.spans() if it.id not in before]
        return found


@pytest.fixture
def server(tmp_path: Path) -> Traced:
    return Traced(tmp_path, {})


def test_the_first_answer_is_in_the_trace_of_its_workspace(server: Traced) -> None:
    first, second = server.ask(), server.ask()
    assert (first.trace, first.parent) == (trace_id(UID), root_span(UID))
    assert (first.name, first.service, first.kind) == ("POST /chat", "serving", 2)
    assert first.attributes == {
        "http.request.method": "POST",
        "http.route": "/chat",
        "url.path": "/chat",
        "http.response.status_code": 200,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 3,
    }
    (token,) = first.moments
    assert token.name == "first token"
    assert first.began <= token.when <= first.ended
    assert second.trace != first.trace
    assert not second.parent


def test_one_that_is_not_answered_is_not_the_first(server: Traced) -> None:
    refused = server.ask(prompt="refuse")
    crashed = server.ask(prompt="crash")
    answered = server.ask()
    assert [it.trace for it in (refused, crashed, answered)] == [trace_id(UID)] * 3
    assert [it.attributes["http.response.status_code"] for it in (refused, crashed, answered)] == [400, 500, 200]
    assert [it.failure for it in (refused, crashed, answered)] == ["", "answered 500", ""]
    server.ready = False
    late = server.ask()
    assert (late.failure, late.trace == trace_id(UID)) == ("answered 503", False)


def test_whoever_asks_may_have_a_trace_of_their_own(server: Traced) -> None:
    first, second = server.ask(FOREIGN), server.ask(FOREIGN)
    _, trace, parent, _ = FOREIGN.split("-")
    assert [(it.trace, it.parent) for it in (first, second)] == [(trace, parent)] * 2
    assert first.links == ((trace_id(UID), root_span(UID)),)
    assert second.links == ()
    nonsense = server.ask("00-nonsense")
    assert not nonsense.parent


def test_a_stream_is_traced_to_its_end(server: Traced) -> None:
    body = {"model": "model", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    answer = server.client.post("/v1/chat/completions", json=body)
    assert server.spans() == [], "it is not over"
    assert answer.text.endswith("data: [DONE]\n\n")
    answer.close()
    (span,) = server.spans()
    assert (span.name, span.attributes["gen_ai.usage.output_tokens"]) == ("POST /v1/chat/completions", 3)
    assert [it.name for it in span.moments] == ["first token"]
    assert tracing.current.get() is None


def test_probes_and_the_like_are_not_traced(server: Traced) -> None:
    for path in ("/health", "/metrics", "/v1/models", "/chat"):
        server.client.get(path)
    server.client.post("/nowhere")
    assert server.spans() == []


def test_a_start_and_its_stages(server: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "tracer", server.tracer)

    def load() -> dict[str, Model]:
        metrics.took("fetch", 2.0, tracing.BEGAN)
        with metrics.stage("load"):
            pass
        return {"model": Made()}

    startup = Startup(load, failed=lambda: pytest.fail("it was loaded"))
    startup._run()
    fetch, start, loaded = server.spans()
    assert [it.name for it in (fetch, start, loaded)] == ["fetch", "server start", "load"]
    assert {it.trace for it in (fetch, start, loaded)} == {trace_id(UID)}
    assert (start.parent, fetch.parent, loaded.parent) == (root_span(UID), start.id, start.id)
    assert (fetch.ended, start.began) == (tracing.BEGAN, tracing.BEGAN)
    assert fetch.ended - fetch.began == 2 * 10**9
    assert start.began <= loaded.began <= loaded.ended <= start.ended
    assert {it.attributes["kaito.revision"] for it in (fetch, start, loaded)} == {"phi-00001"}


def test_a_start_that_fails_says_why_before_the_process_ends(server: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "tracer", server.tracer)
    ended = []

    def load() -> dict[str, Model]:
        raise ModelError("no weights there")

    Startup(load, failed=lambda: ended.extend(from_folder(server.folder)))._run()
    (start,) = ended
    assert (start.name, start.failure) == ("server start", "no weights there")


def from_folder(folder: Path) -> list[Span]:
    return [
        it for file in folder.iterdir() for line in file.read_text().splitlines() for it in from_otlp(json.loads(line))
    ]


@pytest.mark.parametrize("path", ["", "/v1/traces"])
def test_a_collector_gets_them(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with Collector() as collector:
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if path else "OTEL_EXPORTER_OTLP_ENDPOINT"
        environment = {name: f"{collector.base}{path}"}
        monkeypatch.setenv(name, environment[name])  # which the exporter reads by itself
        spans = Spans.of({**environment, "TRACEPARENT": traceparent(UID), "K_SERVICE": "phi"}, None)
        app = create_app(lambda _: Made())
        app.wsgi_app = spans.around(app.wsgi_app)  # type: ignore[method-assign, assignment]
        app.test_client().post("/chat", json=ASKED).close()
        spans.flush()
        (span,) = collector.spans()
    assert (span.name, span.trace, span.service) == ("POST /chat", trace_id(UID), "phi")


def test_nothing_is_traced_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = tracing.tracer
    assert tracing.begin({}) is nobody
    assert tracing.begin({"KAITO_TRACES": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is nobody
    app = object()
    around: Any = nobody.around
    assert around(app) is app
    program = "import sys, serving.__main__; print([it for it in sys.modules if it.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("given", ["/traces", "http://collector", "file:traces", "file://host/traces"])
def test_what_is_no_folder_is_refused(given: str) -> None:
    with pytest.raises(ModelError, match=r"KAITO_TRACES is .*; it must be file:///DIRECTORY or empty"):
        tracing.begin({"KAITO_TRACES": given})


def test_a_folder_is_made_or_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracing, "tracer", tracing.tracer)
    assert tracing.directory({"KAITO_TRACES": "file:///a%20b"}) == Path("/a b")
    folder = tmp_path / "a b"
    tracer = tracing.begin({"KAITO_TRACES": folder.as_uri()})
    assert isinstance(tracer, Spans)
    assert [it.name.endswith(".otlp.jsonl") for it in folder.iterdir()] == [True]
    (tmp_path / "file").write_text("")
    assert isinstance(Spans.of({}, tmp_path / "file"), Spans)


def test_a_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    rotation = Rotation(tmp_path / "x.otlp.jsonl", most=20)
    for number in range(9):
        rotation.write(f"line {number}\n")
        rotation.flush()
    rotation.close()
    rotation.flush()
    old, new = (tmp_path / "old-x.otlp.jsonl").read_text(), (tmp_path / "x.otlp.jsonl").read_text()
    assert (old + new).endswith("line 6\nline 7\nline 8\n")
    assert max(map(len, (old, new))) <= 30
