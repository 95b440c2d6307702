"""The recorder's HTTP: events in each of CloudEvents' modes, recordings out, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from structlog.testing import capture_logs

from eventing.recorder import app as module
from eventing.recorder.app import create_app
from kaito.runtime.events import BATCH, from_json, to_binary
from tests.recorders import Recorder, recorder
from tests.unit.eventing.recorder import told

CANARY = "c4n4ry"
JSON, STRUCTURED = "application/json", "application/cloudevents+json"
ONE = told.config_map("one")
LINES = [told.installation(), told.delivery("d"), told.kept_object(ONE), told.decision("c", ONE, because=("d",))]
EVENTS = [json.loads(line) for line in LINES]


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Recorder]:
    with recorder(tmp_path) as it:
        yield it


@pytest.fixture
def client(it: Recorder) -> FlaskClient:
    return create_app(it.engine, it.store).test_client()


def post(client: FlaskClient, content_type: str, body: object) -> tuple[int, str]:
    answer = client.post("/", data=json.dumps(body), headers={"Content-Type": content_type})
    return answer.status_code, answer.text


def test_a_batch_is_kept_as_a_file_would_have_it(client: FlaskClient) -> None:
    assert post(client, BATCH, EVENTS) == (204, "")
    assert post(client, f"{BATCH}; charset=utf-8", EVENTS) == (204, ""), "again"
    read = client.get("/records")
    assert (read.status_code, read.mimetype, read.headers["Kaito-Cursor"]) == (200, "application/x-ndjson", "4")
    assert read.data == b"".join(LINES)


def test_single_events_are_the_same_in_both_modes(client: FlaskClient) -> None:
    first, second, *_ = EVENTS
    headers, body = to_binary(from_json(first))
    assert client.post("/", headers=headers, data=body).status_code == 204
    assert post(client, STRUCTURED, second) == (204, "")
    assert client.get("/records").data == b"".join(LINES[:2])


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        (JSON, {}, 400, "not a CloudEvent: no id, source, type, specversion"),
        (STRUCTURED, {"id": "1"}, 400, "not a CloudEvent: no "),
        (STRUCTURED, [], 400, "the body is a JSON list, an event is an object"),
        (BATCH, {}, 400, "the body is a JSON dict, a batch is an array"),
        (BATCH, [EVENTS[0], 1], 400, "the body is a JSON int, an event is an object"),
        ("application/cloudevents+avro", {}, 400, "cannot read application/cloudevents+avro"),
        (STRUCTURED, {**EVENTS[1], "type": CANARY, "data": CANARY}, 400, "only what functions record is kept"),
        (
            STRUCTURED,
            {**EVENTS[1], "data": {"headers": {}, "body": "\ud800"}},
            400,
            "d: data: Invalid JSON: unexpected end of hex escape",
        ),
        (BATCH, [EVENTS[1], EVENTS[3]], 424, "decision c was made of object"),
    ],
)
def test_what_is_refused_is_refused_whole_and_said(
    client: FlaskClient, content_type: str, body: object, status: int, said: str
) -> None:
    with capture_logs() as logs:
        answered, reason = post(client, content_type, body)
    assert answered == status
    assert said in reason
    assert [(it["event"], it["status"]) for it in logs] == [("refused", status)]
    assert CANARY not in reason + str(logs)
    assert client.get("/records").data == b""


def test_what_is_too_large_is_413(client: FlaskClient) -> None:
    body = b"x" * (module.MOST + 1)
    answer = client.post("/", data=body, headers={"Content-Type": BATCH})
    assert (answer.status_code, answer.text) == (413, "more than 33554432 bytes: send fewer records at once\n")


def test_a_part_is_asked_for_in_the_query(client: FlaskClient) -> None:
    post(client, BATCH, [*EVENTS, json.loads(told.delivery("e", "Node//n"))])
    query = {"object": "node/n", "function": "workspace", "since": "2026-11-23T13:00:00+01:00", "after": "1"}
    assert client.get("/records", query_string=query).data == told.delivery("e", "Node//n")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "yesterday"}, "since: Input should be a valid datetime"),
        ({"until": "2026-11-23T12:00:00"}, "until: Input should have timezone info"),
        ({"after": "-1"}, "after: Input should be greater than or equal to 0"),
        ({"after": str(1 << 63)}, "after: Input should be less than"),
        ({"object": "x" * 501}, "object: String should have at most 500 characters"),
        ({"objects": "x"}, "objects: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_asked_is_said(client: FlaskClient, query: dict[str, str], said: str) -> None:
    answer = client.get("/records", query_string=query)
    assert answer.status_code == 400
    assert said in answer.text


def test_a_database_that_is_away_is_503_and_asked_again(client: FlaskClient, it: Recorder) -> None:
    with it.engine.begin() as connection:
        connection.execute(text("ALTER TABLE records RENAME TO elsewhere"))
    status, said = post(client, STRUCTURED, EVENTS[1])
    assert (status, said) == (503, "the database: no such table: records\n")
    assert client.get("/records").status_code == 503
    with it.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO records"))
    assert post(client, STRUCTURED, EVENTS[1]) == (204, "")


def test_healthz(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
