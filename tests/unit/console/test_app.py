"""What the console answers, and to whom."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from console.app import create_app
from console.chat import Chats
from console.console import Console
from eventing.recordings.sources import Files
from tests.serving import serving
from tests.unit.console.world import Model, cluster, workspace
from tests.unit.eventing.recordings import scenes


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.history().write(tmp_path_factory.mktemp("recording") / "a.ndjson")


@pytest.fixture
def client(recording: Path) -> FlaskClient:
    console = Console([Files([recording])])
    console.look()
    return create_app(console, Chats(inside=False), streams=2).test_client()


@pytest.fixture
def live() -> Iterator[Console]:
    model = Model()
    with serving(model.app) as url:
        console = Console([], cluster(workspace(url=url), workspace("falcon")))
        console.start()
        assert console.reflector is not None
        assert console.reflector.listed.wait(10)
        yield console
        console.stop()


def got(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_page_may_load_and_ask_nothing_but_the_console(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in page.text, "it works where nothing else is reached"
    for name in ("page.js", "dom.js", "stages.js", "rows.js", "workspaces.js", "chat.js", "page.css"):
        file = client.get(f"/static/{name}")
        assert (file.status_code, file.headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert "innerHTML" not in file.text
        assert "http://" not in file.text


@pytest.mark.parametrize(("host", "status"), [("localhost:80", 200), ("127.0.0.1", 200), ("[::1]:8080", 200)])
def test_it_is_asked_by_its_name(client: FlaskClient, host: str, status: int) -> None:
    assert client.get("/api/state", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("host", ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[", ""])
def test_a_browser_that_another_name_led_here_is_refused(client: FlaskClient, host: str) -> None:
    for path in ("/", "/api/state", "/static/page.js"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "nobody here is called" in answer.json["error"]  # type: ignore[index]
    assert client.get("/healthz", headers={"Host": host}).status_code == 200, "a probe has none of them"


def test_a_recording_alone(client: FlaskClient) -> None:
    state = got(client, "/api/state")
    assert (state["live"], state["read"], state["trouble"]) == (False, True, "")
    phi = next(it for it in state["workspaces"] if it["key"] == "default/phi")
    assert (phi["does"], phi["instance"], phi["chats"]) == ("phi-3-mini-4k-instruct", "Standard_NC6s_v3", False)
    assert {it["type"] for it in phi["conditions"]} >= {"ResourceReady", "InferenceReady", "WorkspaceReady"}


def test_rows_are_paged(client: FlaskClient) -> None:
    whole = got(client, "/api/rows?workspace=default/phi&quiet=true")
    assert whole["total"] == len(whole["rows"]) > 5
    some = got(client, "/api/rows?workspace=default/phi&quiet=true&offset=2&limit=3")
    assert (some["offset"], some["rows"]) == (2, whole["rows"][2:5])
    last = got(client, "/api/rows?workspace=default/phi&quiet=true&limit=5")
    assert (last["offset"], last["rows"]) == (5, whole["rows"][5:])
    assert got(client, "/api/rows?workspace=no/such") == {"total": 0, "offset": 0, "rows": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "offset=-1", "offset=x", "wrong=1", "quiet=perhaps"])
def test_a_page_that_cannot_be(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/rows?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json["error"]  # type: ignore[index]


def test_a_row_is_told_with_its_workspace_as_it_was(client: FlaskClient) -> None:
    rows = got(client, "/api/rows?workspace=default/phi")["rows"]
    before = [got(client, f"/api/rows/{row['name']}?workspace=default/phi") for row in rows]
    assert [it["place"] for it in before] == list(range(len(rows)))
    ready = [it["moments"]["default/phi"]["workspace"]["ready"] for it in before]
    assert ready[0] == ""
    assert "True" in ready
    assert "decided: apply Machine" in before[0]["story"]
    assert got(client, f"/api/rows/{rows[0]['name']}?workspace=no/such")["place"] is None
    assert client.get("/api/rows/nothing").status_code == 404


def test_what_is_not_there_says_so(client: FlaskClient) -> None:
    assert client.get("/api/workspaces/no/such").json == {"error": "there is no Workspace no/such"}
    assert client.get("/nowhere").status_code == 404
    assert client.post("/api/workspaces/default/phi/chat", json={"messages": []}).status_code == 400


def test_so_many_streams_at_once(client: FlaskClient) -> None:
    first, second = (client.get("/api/stream", buffered=False) for _ in range(2))
    assert next(iter(first.response)) == b"retry: 500\n\n"
    assert client.get("/api/stream").status_code == 503
    second.close()
    assert client.get("/api/stream", buffered=False).status_code == 200
    first.close()


def streamed(client: FlaskClient, last: str, count: int) -> list[list[str]]:
    """The lines of the first messages."""
    answer = client.get("/api/stream", buffered=False, headers={"Last-Event-ID": last})
    found = [bytes(it).decode().splitlines() for it in itertools.islice(answer.response, count)]  # type: ignore[arg-type]
    answer.close()
    return found


def test_a_stream_goes_on_where_it_was_cut(live: Console) -> None:
    client = create_app(live, Chats(inside=False)).test_client()
    _, (name, *_) = streamed(client, "", 2)
    live.feed.publish("status", {"trouble": "x"})
    _, said = streamed(client, name.removeprefix("id: "), 2)
    assert said[1:3] == ["event: status", 'data: {"trouble":"x"}']


def test_a_cluster(live: Console) -> None:
    client = create_app(live, Chats(inside=False)).test_client()
    state = got(client, "/api/state")
    assert [(it["key"], it["chats"]) for it in state["workspaces"]] == [
        ("default/falcon", False),
        ("default/phi", True),
    ]
    moment = got(client, "/api/workspaces/default/phi")
    assert [it["name"] for it in moment["timeline"]] == ["nodes", "pod", "ready"]


def test_a_ready_model_is_asked_by_json_alone(live: Console) -> None:
    client, question = create_app(live, Chats(inside=False)).test_client(), {"role": "user", "content": "?"}
    path = "/api/workspaces/default/{}/chat"
    answer = client.post(path.format("phi"), json={"messages": [question]})
    assert answer.mimetype == "text/event-stream"
    assert "Paris" in answer.text
    refused = client.post(path.format("phi"), data=json.dumps({"messages": [question]}), content_type="text/plain")
    assert refused.status_code == 415, "which another site's page may send"
    assert client.post(path.format("falcon"), json={"messages": [question]}).status_code == 409
    assert client.post(path.format("none"), json={"messages": [question]}).status_code == 404
