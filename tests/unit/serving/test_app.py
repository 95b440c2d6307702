"""The HTTP contract, over a model that answers at once."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient

from serving.app import MAX_WAITING, create_app, gone
from serving.chat import ChatRequest, RequestError
from serving.engine import ModelError
from serving.pipeline import Gone
from serving.startup import Model, NotReadyError, Startup

DEADLINE = 10.0


class Echo:
    """Answers what it was asked."""

    dialect = None

    def complete(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("of OpenAI's routes test_openai.py has the tests")

    def answer(self, request: ChatRequest, gone: Gone) -> str:
        if request.prompt == "too long":
            raise RequestError("The prompt is too long.")
        if request.prompt == "crash":
            raise RuntimeError("out of memory")
        return f"You said {request.prompt}"


def loading(_: str) -> Model:
    raise NotReadyError("The model is being loaded, for 3 s now")


@pytest.fixture
def client() -> FlaskClient:
    return create_app(lambda _: Echo()).test_client()


def test_root_tells_that_the_server_runs(client: FlaskClient) -> None:
    assert client.get("/").json == {"message": "Server is running"}


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health(client: FlaskClient, path: str) -> None:
    healthy = client.get(path)
    assert (healthy.status_code, healthy.json) == (200, {"status": "Healthy"})
    waiting = create_app(loading).test_client().get(path)
    assert (waiting.status_code, waiting.json) == (500, {"status": "The model is being loaded, for 3 s now"})


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", None])
def test_chat_reads_json_whatever_the_content_type(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/chat", data='{"prompt": "grüezi"}'.encode(), content_type=content_type)
    assert (answer.status_code, answer.json) == (200, {"Result": "You said grüezi"})
    assert "grüezi" in answer.text


def test_chat_before_the_model_is_there() -> None:
    answer = create_app(loading).test_client().post("/chat", json={"prompt": "Hi"})
    assert answer.status_code == 503
    assert "being loaded" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "said"),
    [
        ("POST", "/chat", {}, 400, "Neither prompt nor messages"),
        ("POST", "/chat", {"prompt": "too long"}, 400, "The prompt is too long."),
        ("POST", "/chat", {"prompt": "a" * 5_000_000}, 413, "Send a shorter prompt"),
        ("POST", "/chat", {"prompt": "crash"}, 500, "The server's log has the cause"),
        ("GET", "/chat", None, 405, "Send POST /chat with"),
        ("POST", "/health", None, 405, "/health does not take POST"),
        ("GET", "/chats", None, 404, "There is no /chats here"),
    ],
)
def test_errors_are_json_that_says_what_to_send(
    client: FlaskClient, method: str, path: str, sent: Any, status: int, said: str
) -> None:
    answer = client.open(path, method=method, json=sent)
    assert answer.status_code == status
    assert said in answer.get_json()["error"]


def test_no_more_wait_than_leave_room_for_a_probe() -> None:
    arrived, leave = threading.Semaphore(0), threading.Event()

    class Slow(Echo):
        def answer(self, request: ChatRequest, gone: Gone) -> str:
            arrived.release()
            leave.wait(DEADLINE)
            return "done"

    app = create_app(lambda _: Slow())
    answers: list[int] = []
    waiting = [
        threading.Thread(
            target=lambda: answers.append(app.test_client().post("/chat", json={"prompt": "Hi"}).status_code)
        )
        for _ in range(MAX_WAITING)
    ]
    for thread in waiting:
        thread.start()
    assert all(arrived.acquire(timeout=DEADLINE) for _ in waiting)
    one_more = app.test_client().post("/chat", json={"prompt": "Hi"})
    leave.set()
    for thread in waiting:
        thread.join(DEADLINE)
    assert (one_more.status_code, answers) == (429, [200] * MAX_WAITING)
    assert one_more.headers["Retry-After"] == "2"
    assert app.test_client().post("/chat", json={"prompt": "Hi"}).status_code == 200


def test_what_it_does_is_counted(client: FlaskClient) -> None:
    client.post("/chat", json={"prompt": "Hi"})
    client.post("/chat", json={})
    told = client.get("/metrics").text
    for line in (
        'kaito_requests_total{route="/chat",status="200"}',
        'kaito_requests_total{route="/chat",status="400"}',
    ):
        assert line in told
    assert "kaito_requests_running 0.0" in told


def test_a_client_that_has_hung_up_is_seen() -> None:
    ours, theirs = socket.socketpair()
    hung_up = gone({"gunicorn.socket": ours})
    assert not hung_up()
    theirs.sendall(b"x")
    assert not hung_up(), "its next request has come"
    assert ours.recv(1) == b"x"
    theirs.close()
    assert hung_up()
    ours.close()
    assert not gone({})()


def test_a_startup_is_ready_when_its_model_is() -> None:
    go, ended = threading.Event(), threading.Event()

    def load() -> dict[str, Model]:
        go.wait(DEADLINE)
        return {"echo": Echo()}

    startup = Startup(load, failed=ended.set)
    startup.start()
    with pytest.raises(NotReadyError, match="being loaded"):
        startup.model("echo")
    go.set()
    assert _model(startup).answer(ChatRequest(prompt="Hi"), lambda: False) == "You said Hi"
    assert not ended.is_set()


def test_a_startup_that_fails_ends_the_process() -> None:
    ended = threading.Event()

    def load() -> dict[str, Model]:
        raise ModelError("the weights are not there")

    Startup(load, failed=ended.set).start()
    assert ended.wait(DEADLINE)


def test_the_app_is_there_without_the_model_machinery() -> None:
    code = (
        "import sys, serving.app, serving.__main__; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def _model(startup: Startup) -> Model:
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        try:
            return startup.model("echo")
        except NotReadyError:
            pause.wait(0.01)
    raise AssertionError("the startup did not end")
