"""CloudEvents' own conformance features as tables: the HTTP binding's, the JSON format's events and its batches.

After cloudevents/conformance (features/http-protocol-binding.feature, format/json) and the HTTP binding 1.0.2. Each
table goes through our reader and, over HTTP, through our broker to a subscriber.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from eventing.broker import Broker
from kaito.runtime.events import BATCH, BadEvent, Event, parse, parse_all, to_binary
from tests.receiver import Receiver

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
#: An event with no more than it must have.
LEAST = {"specversion": "1.0", "id": "least", "type": "com.example.test", "source": "https://example.com"}
#: Types of CloudEvents' type system, in JSON and as text.
EXTENSIONS = {
    "extinteger": (10, "10"),
    "extnegative": (-2147483648, "-2147483648"),
    "extboolean": (True, "true"),
    "extstring": ("text", "text"),
    "exturi": ("https://example.com", "https://example.com"),
    "exturiref": ("//authority/path", "//authority/path"),
    "exttimestamp": ("2023-03-31T15:12:00Z", "2023-03-31T15:12:00Z"),
    "extbinary": ("TWE=", "TWE="),
}


@dataclass(frozen=True)
class Case:
    """An HTTP message, and the event in it."""

    name: str
    headers: dict[str, str]
    body: bytes
    attributes: dict[str, str]
    data: Any = None
    content: bytes = field(default=b"")


def binary(name: str, data: bytes = b"", content_type: str = "", **attributes: str) -> Case:
    headers = {f"ce-{it}": value for it, value in {**LEAST, **attributes}.items()}
    typed = {"datacontenttype": content_type} if content_type else {}
    if content_type:
        headers["Content-Type"] = content_type
    parsed = (json.loads(data) if "json" in content_type else data) if data else None
    return Case(f"binary: {name}", headers, data, {**LEAST, **attributes, **typed}, parsed, data)


def header(name: str, sent: str, value: str) -> Case:
    case = binary(name)
    return Case(case.name, {**case.headers, "ce-subject": sent}, b"", {**LEAST, "subject": value})


def structured(
    name: str,
    envelope: dict[str, Any],
    text: dict[str, str] | None = None,
    *,
    data: Any = None,
    content: bytes = b"",
    suffix: str = "",
) -> Case:
    """``text``: attributes that are other than in the envelope; what is null there is not in the event."""
    attributes = {it: value for it, value in envelope.items() if value is not None and not it.startswith("data_")}
    attributes.pop("data", None)
    body = json.dumps({**LEAST, **envelope}).encode()
    expected = {**LEAST, **attributes, **(text or {})}
    return Case(f"structured: {name}", {"Content-Type": STRUCTURED + suffix}, body, expected, data, content)


HELLO = {"message": "Hello World!"}
VALID = [
    binary("JSON", json.dumps(HELLO).encode(), JSON, time="2018-04-05T03:56:24Z"),
    binary("JSON with its charset", json.dumps(HELLO).encode(), f"{JSON}; charset=utf-8"),
    binary("JSON of a type of its own", b"[1, null]", "application/vnd.example+json"),
    binary("no data, and no type of it"),
    binary("bytes", b"\x00\xff\xfe", "application/octet-stream"),
    binary("text", "Grüße".encode(), "text/plain; charset=utf-8"),
    binary("XML", b"<a/>", "application/xml"),
    binary("data of no type", b"anything"),
    binary(
        "all attributes",
        b"x",
        "text/plain",
        dataschema="https://example.com/s",
        subject="s",
        time="2018-04-05T17:31:00Z",
    ),
    binary("extensions of all types", b"", "", **{name: text for name, (_, text) in EXTENSIONS.items()}),
    binary("an extension that is empty", empty=""),
    header("what needs no escape", "/a/b?c=d#!$&'()*+,;=[]@:~", "/a/b?c=d#!$&'()*+,;=[]@:~"),
    header("the example of the specification", "Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
    header("digits in lower case", "%e2%82%ac", "€"),
    header("what is escaped without need", "%41", "A"),
    header("one round only", "%2541", "%41"),
    header("a quoted text, as older senders have it", '"Euro %E2%82%AC"', "Euro €"),
    header("a quoted text with quotes in it", r'"say \"a\\b\""', r'say "a\b"'),
    structured("nothing but what must be", {}),
    structured("null is absent", dict.fromkeys(("datacontenttype", "dataschema", "subject", "time", "ext", "data"))),
    structured(
        "all attributes, and no data",
        {
            "datacontenttype": "text/plain",
            "dataschema": "https://example.com/s",
            "subject": "tests",
            "time": "2018-04-05T17:31:00Z",
        },
    ),
    structured("nanoseconds", {"time": "2018-04-05T17:31:00.123456789Z"}),
    structured("a zone before", {"time": "2018-04-05T18:31:00+01:00"}),
    structured("a zone behind", {"time": "2018-04-05T16:31:00-01:00"}),
    structured("a relative source", {"source": "#fragment"}),
    structured(
        "extensions of all types",
        {name: value for name, (value, _) in EXTENSIONS.items()},
        {name: text for name, (_, text) in EXTENSIONS.items()},
    ),
    structured("JSON", {"datacontenttype": JSON, "data": HELLO}, data=HELLO, content=b'{"message":"Hello World!"}'),
    structured(
        "its own charset", {"datacontenttype": JSON, "data": [1]}, data=[1], content=b"[1]", suffix="; charset=utf-8"
    ),
    structured(
        "data of no type is JSON", {"data": {"a": 1}}, {"datacontenttype": JSON}, data={"a": 1}, content=b'{"a":1}'
    ),
    structured("a text that is JSON", {"datacontenttype": JSON, "data": "x"}, data="x", content=b'"x"'),
    structured(
        "a text", {"datacontenttype": "text/plain", "data": "Grüße"}, data="Grüße".encode(), content="Grüße".encode()
    ),
    structured(
        "bytes",
        {"datacontenttype": "application/octet-stream", "data_base64": base64.b64encode(b"\x00\xff").decode()},
        data=b"\x00\xff",
        content=b"\x00\xff",
    ),
    structured(
        "JSON as bytes",
        {"datacontenttype": JSON, "data_base64": base64.b64encode(b'{ "a": 1 }').decode()},
        data={"a": 1},
        content=b'{ "a": 1 }',
    ),
]


def bad(name: str, **changes: Any) -> Any:
    """An event in JSON that is none; a change to None leaves that out."""
    envelope = {it: value for it, value in {**LEAST, **changes}.items() if value is not None}
    return pytest.param({"Content-Type": STRUCTURED}, json.dumps(envelope).encode(), id=f"structured: {name}")


def bad_binary(name: str, **changes: str | None) -> Any:
    attributes = {it: value for it, value in {**LEAST, **changes}.items() if value is not None}
    content_type = attributes.pop("datacontenttype", None)
    headers = {f"ce-{it}": value for it, value in attributes.items()}
    return pytest.param(
        {**headers, **({"Content-Type": content_type} if content_type else {})}, b"", id=f"binary: {name}"
    )


INVALID = [
    *(make(f"no {name}", **{name: None}) for name in LEAST for make in (bad, bad_binary)),
    *(make(f"empty {name}", **{name: ""}) for name in LEAST for make in (bad, bad_binary)),
    *(bad(f"empty {name}", **{name: ""}) for name in ("datacontenttype", "dataschema", "subject", "time")),
    *(
        make(f"time {time}", time=time)
        for time in (
            "lunchtime",
            "2018-04-05",
            "2018-04-05T18:31Z",
            "2018-04-05T18:31:00",
            "2018-04-05T18:31:00X",
            "2018-04-05T18:31:00+25:00",
            "2018-04-05T18:31:00+xx:00",
            "2018-04-05T18:31:00+05",
            "2018-04-05 18:31:00Z",
            "2018-13-05T18:31:00Z",
            "20180405T183100Z",
        )
        for make in (bad, bad_binary)
    ),
    *(
        make(f"specversion {version}", specversion=version)
        for version in ("0.3", "0.9", "1")
        for make in (bad, bad_binary)
    ),
    *(
        make(f"datacontenttype {text}", datacontenttype=text)
        for text in ("xyz", "/", "text/", "a b/c")
        for make in (bad, bad_binary)
    ),
    *(
        bad(f"{name} is a number", **{name: 25})
        for name in (*LEAST, "subject", "time", "dataschema", "datacontenttype")
    ),
    bad("id is an object", id={"xyz": "abc"}),
    bad("an extension with a capital", MyExtension="bad"),
    bad("an extension with a dot", **{"my.extension": "bad"}),
    bad("an extension with an underscore", data_other="bad"),
    bad("an extension that is no integer", extension=1.5),
    bad("an extension that is a list", extension=[1]),
    bad("an extension that is an object", extension={"a": 1}),
    bad("data twice", data="text", data_base64="eyAieHl6IjogMTIzIH0="),
    bad("data_base64 is not", data_base64="not base 64"),
    bad_binary("an extension with a dash", **{"my-extension": "bad"}),
    pytest.param({**bad_binary("").values[0], "ce-subject": "%C0%A0"}, b"", id="binary: an overlong encoding"),
    pytest.param({**bad_binary("").values[0], "ce-subject": "%FF"}, b"", id="binary: no UTF-8"),
    pytest.param({"Content-Type": STRUCTURED}, b"[]", id="structured: a list"),
    pytest.param({"Content-Type": STRUCTURED}, b'"text"', id="structured: a text"),
    pytest.param({"Content-Type": STRUCTURED}, b"", id="structured: nothing"),
    pytest.param({"Content-Type": "application/cloudevents+avro"}, b"", id="structured: a format that is not ours"),
    pytest.param({"Content-Type": JSON}, b"{}", id="no event at all"),
]
#: JSON's batches, and how many events are in them; None: it is none.
BATCHES = [
    ("nothing", [], 0),
    ("one", [LEAST], 1),
    ("the same twice", [LEAST, LEAST], 2),
    ("of different kinds", [LEAST, {**LEAST, **{name: value for name, (value, _) in EXTENSIONS.items()}}], 2),
    ("of different versions", [LEAST, {**LEAST, "specversion": "0.9"}], None),
    ("one without an id", [{name: value for name, value in LEAST.items() if name != "id"}], None),
    ("one that is a text", ["no object", LEAST], None),
    ("one event, and no list", LEAST, None),
]


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_an_event_is_read_as_it_is(case: Case) -> None:
    event = parse(case.headers, case.body)
    assert event.attributes == case.attributes
    assert event.data == case.data
    assert event.body == case.content


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_what_is_read_is_written_and_read_again_the_same(case: Case) -> None:
    event = parse(case.headers, case.body)
    assert parse(*to_binary(event)) == event


@pytest.mark.parametrize(("headers", "body"), INVALID)
def test_what_is_no_event_is_refused_with_a_reason(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadEvent) as refused:
        parse(headers, body)
    assert len(str(refused.value)) > 10


@pytest.fixture(scope="module")
def subscribed() -> Iterator[tuple[str, Receiver]]:
    """A Broker's address, and what its Trigger sends to."""
    with Receiver() as receiver:
        broker = Broker(lambda destination, namespace: receiver.url)
        meta = {"namespace": "ns", "name": "default"}
        trigger = {"kind": "Trigger", "metadata": meta, "spec": {"subscriber": {"uri": "/"}}}
        broker.configure([{"kind": "Broker", "metadata": meta}], [trigger])
        broker.start()
        yield broker.address("ns", "default"), receiver
        broker.stop()


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_a_subscriber_gets_the_event_that_was_sent(subscribed: tuple[str, Receiver], case: Case) -> None:
    address, receiver = subscribed
    before = len(receiver.received)
    assert httpx.post(address, headers=case.headers, content=case.body).status_code == 202
    received = receiver.wait(before + 1)[before]
    event = parse(received.headers, received.body)
    assert event.with_attributes(knativearrivaltime=None) == Event(case.attributes, case.content)


@pytest.mark.parametrize(("headers", "body"), INVALID)
def test_a_broker_takes_no_other(subscribed: tuple[str, Receiver], headers: dict[str, str], body: bytes) -> None:
    address, receiver = subscribed
    before = len(receiver.received)
    answer = httpx.post(address, headers=headers, content=body)
    assert answer.status_code == 400
    assert answer.text
    assert len(receiver.received) == before


@pytest.mark.parametrize(("batch", "count"), [pytest.param(batch, count, id=name) for name, batch, count in BATCHES])
def test_batches_are_read_whole_or_refused(batch: Any, count: int | None) -> None:
    message = {"Content-Type": f"{BATCH}; charset=utf-8"}, json.dumps(batch).encode()
    if count is None:
        with pytest.raises(BadEvent):
            parse_all(*message)
    else:
        found = parse_all(*message)
        assert found == tuple(parse({"Content-Type": STRUCTURED}, json.dumps(event).encode()) for event in batch)
        assert len(found) == count


@pytest.mark.parametrize("batch", [batch for _, batch, _ in BATCHES], ids=[name for name, _, _ in BATCHES])
def test_a_broker_asks_for_no_batches_and_takes_none(subscribed: tuple[str, Receiver], batch: Any) -> None:
    address, receiver = subscribed
    before = len(receiver.received)
    answer = httpx.post(address, headers={"Content-Type": BATCH}, content=json.dumps(batch).encode())
    assert answer.status_code == 400
    assert "send single events" in answer.text
    assert len(receiver.received) == before
