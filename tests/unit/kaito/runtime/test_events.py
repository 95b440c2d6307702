from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.runtime.events import BATCH, BadEvent, Event, new, parse, parse_all, to_binary

REQUIRED = {"ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"}
ENVELOPE = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def structured(**changes: Any) -> bytes:
    return json.dumps({**ENVELOPE, **changes}).encode()


def test_binary_keeps_what_is_on_the_wire() -> None:
    headers = {
        **{name.title(): value for name, value in REQUIRED.items()},
        "Ce-Time": "2026-11-23T12:39:07.753796521Z",
        "Ce-Namespace": "",
        "Ce-Subject": "caf%C3%A9%20%25",
        "Content-Type": "application/json",
        "Host": "ignored",
    }
    event = parse(headers, b'{"a": [1]}')
    assert event.attributes == {
        "id": "1",
        "source": "/s",
        "type": "t",
        "specversion": "1.0",
        "time": "2026-11-23T12:39:07.753796521Z",
        "namespace": "",
        "subject": "café %",
        "datacontenttype": "application/json",
    }
    assert (event.id, event.source, event.type, event.subject) == ("1", "/s", "t", "café %")
    assert event.data == {"a": [1]}
    assert event.body == b'{"a": [1]}'


@pytest.mark.parametrize(
    ("changes", "body", "data"),
    [
        ({}, b"", None),
        ({"data": {"a": 1}}, b'{"a":1}', {"a": 1}),
        ({"data": "x"}, b'"x"', "x"),
        ({"data": "x", "datacontenttype": "text/plain"}, b"x", b"x"),
        ({"data_base64": "AAE=", "datacontenttype": "application/octet-stream"}, b"\0\1", b"\0\1"),
        ({"subject": None}, b"", None),
    ],
)
def test_structured(changes: dict[str, Any], body: bytes, data: Any) -> None:
    event = parse(STRUCTURED, structured(**changes))
    assert (event.body, event.data) == (body, data)
    assert event.id == "1"


def test_structured_attributes_become_strings_and_absent_ones_are_not_invented() -> None:
    event = parse(STRUCTURED, structured(count=3, urgent=True, subject=None))
    assert event.attributes == {**ENVELOPE, "count": "3", "urgent": "true"}


@pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
def test_a_missing_required_attribute_is_refused_in_both_modes(missing: str) -> None:
    with pytest.raises(BadEvent, match=f"no {missing}"):
        parse({name: value for name, value in REQUIRED.items() if name != f"ce-{missing}"}, b"")
    with pytest.raises(BadEvent, match=f"no {missing}"):
        parse(STRUCTURED, structured(**{missing: None}))


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, b"hello", "not a CloudEvent"),
        ({**REQUIRED, "ce-specversion": "0.3"}, b"", "specversion"),
        ({**REQUIRED, "ce-id": ""}, b"", "id"),
        ({**REQUIRED, "ce-time": "yesterday"}, b"", "RFC 3339"),
        ({**REQUIRED, "ce-time": "2026-01-01T00:00:00"}, b"", "RFC 3339"),
        ({**REQUIRED, "ce-some_name": "x"}, b"", "some_name"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "single events"),
        ({"content-type": "application/cloudevents+avro"}, b"", "single events"),
        (STRUCTURED, b"{", "not the application/cloudevents"),
        (STRUCTURED, b"\xff", "not the application/cloudevents"),
        (STRUCTURED, b"[" * 100_000, "not the application/cloudevents"),
        (STRUCTURED, b"[]", "object"),
        (STRUCTURED, structured(data_base64="*"), "data_base64"),
        (STRUCTURED, structured(data_base64=3), "data_base64"),
        (STRUCTURED, structured(extension={}), "extension"),
        (STRUCTURED, structured(time=3), "time must be a string"),
        (STRUCTURED, structured(datacontenttype="text/plaïn"), "datacontenttype"),
        (STRUCTURED, structured(datacontenttype="text/plain\r\nx: y"), "datacontenttype"),
        (STRUCTURED, structured(subject="\ud800"), "subject"),
        (STRUCTURED, structured(data="\ud800", datacontenttype="text/plain"), "data is no Unicode"),
        ({**REQUIRED, "content-type": "text/plaïn"}, b"x", "datacontenttype"),
    ],
)
def test_bad_input_is_one_error_with_a_reason(headers: dict[str, str], body: bytes, reason: str) -> None:
    with pytest.raises(BadEvent, match=reason):
        parse(headers, body)


@pytest.mark.parametrize(
    ("headers", "body", "ids"),
    [
        ({"Content-Type": BATCH}, b"[]", []),
        ({"content-type": f"{BATCH}; charset=utf-8"}, b"[%b, %b]" % (structured(), structured(id="2")), ["1", "2"]),
        (STRUCTURED, structured(), ["1"]),
        (REQUIRED, b"", ["1"]),
    ],
)
def test_a_message_of_any_mode_is_its_events(headers: dict[str, str], body: bytes, ids: list[str]) -> None:
    assert [event.id for event in parse_all(headers, body)] == ids


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body is not the application/cloudevents-batch.json it says"),
        (structured(), "the body is a JSON dict, a batch is an array"),
        (b"[%b, 1]" % structured(), "an event is an object"),
        (b"[%b, {}]" % structured(), "no id, source, type, specversion"),
    ],
)
def test_a_bad_batch_is_one_error_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadEvent, match=reason):
        parse_all({"Content-Type": BATCH}, body)


def test_data_that_is_not_the_json_it_says_is_found_when_it_is_read() -> None:
    event = parse({**REQUIRED, "content-type": "application/json"}, b"{")
    with pytest.raises(BadEvent, match="application/json"):
        _ = event.data


def test_new_has_an_id_and_a_time_of_its_own_and_leaves_its_argument_alone() -> None:
    attributes = {"type": "t", "source": "/s", "namespace": ""}
    first, second = new(attributes), new(attributes)
    assert attributes == {"type": "t", "source": "/s", "namespace": ""}
    assert first.id != second.id
    assert first.attributes["time"].endswith("Z")
    assert parse(*to_binary(first)) == first


def test_with_attributes_sets_and_takes_away() -> None:
    event = Event({**ENVELOPE, "a": "1", "b": "2"})
    assert event.with_attributes(a=None, b="3").attributes == {**ENVELOPE, "b": "3"}
    assert event.attributes["a"] == "1"


@given(
    st.dictionaries(st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8), st.text(max_size=12)),
    st.binary(max_size=20),
)
def test_to_binary_and_back_is_the_same_event(extensions: dict[str, str], body: bytes) -> None:
    reserved = {*ENVELOPE, "time", "subject", "dataschema", "datacontenttype", "data"}
    own = {name: value for name, value in extensions.items() if name not in reserved}
    event = Event({**ENVELOPE, **own}, body)
    headers, sent = to_binary(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert parse(headers, sent) == event
