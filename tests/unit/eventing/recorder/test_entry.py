"""Which events are records, and what they are of."""

from __future__ import annotations

import json

import pytest

from eventing.recorder.entry import NotARecord, entry_of
from kaito.runtime.events import Event, from_json
from kaito.runtime.recording import codec
from tests.unit.eventing.recorder import told

CANARY = "c4n4ry"
ONE, OTHER = told.config_map("one"), told.config_map("other")


def read(line: bytes) -> Event:
    return from_json(json.loads(line))


BOTH = frozenset(map(codec.digest, (ONE, OTHER)))


@pytest.mark.parametrize(
    ("line", "process", "about", "objects", "others"),
    [
        (told.installation(), told.PROCESS, "", frozenset(), frozenset()),
        (told.kept_object(ONE), "", "", frozenset(), frozenset()),
        (told.delivery("d"), told.PROCESS, "workspace/default/phi", frozenset(), frozenset()),
        (told.delivery("d", "Node//n"), told.PROCESS, "node/n", frozenset(), frozenset()),
        (told.answer("a", "d"), told.PROCESS, "", frozenset(), {"d"}),
        (told.decision("c", ONE, OTHER, because=("d", "")), told.PROCESS, "workspace/default/phi", BOTH, {"d"}),
        (told.write("w", "c"), told.PROCESS, "", frozenset(), {"c"}),
        (told.said("lost", "l", {"records": 3}), told.PROCESS, "", frozenset(), frozenset()),
    ],
)
def test_what_a_record_is_of(
    line: bytes, process: str, about: str, objects: frozenset[str], others: frozenset[str]
) -> None:
    event = read(line)
    entry = entry_of(event)
    assert (entry.process, entry.object, entry.objects, entry.others) == (process, about, objects, others)
    assert f"sh.kaito.recording.{entry.kind}" == event.type
    assert (entry.id, entry.time) == (event.id, 1_795_435_200_000_000)
    assert entry.line == line


def test_what_looks_like_ours_in_what_is_not_ours_names_nothing() -> None:
    event = read(told.decision("c"))
    data = {**event.data, "observed": {"$class": "Observed", "settings": {"$json": {"$object": "no digest"}}}}
    assert entry_of(read(told.said("decision", "c", data))).objects == frozenset()


def test_a_name_that_is_no_kubernetes_name_is_of_no_object() -> None:
    assert entry_of(read(told.delivery("d", "Workspace/default/\u00e9\x00"))).object == ""


def changed(line: bytes, **attributes: str | None) -> Event:
    return read(line).with_attributes(**attributes)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            changed(told.delivery("d"), type="dev.knative.apiserver.resource.add"),
            "only what functions record is kept, of",
        ),
        (changed(told.delivery("d"), type="sh.kaito.recording.nothing"), "only what functions record is kept, of the"),
        (changed(told.delivery("d"), type="delivery"), "only what functions record is kept, of the types"),
        (changed(told.delivery("d"), source="/somebody"), "its source must be /kaito/functions/FUNCTION/PROCESS"),
        (changed(told.delivery("d"), source="/kaito/functions/f"), "its source must be /kaito/functions/FUNCTION/"),
        (changed(told.delivery("d"), time=None), "a record has an id in plain letters, a time, and data in JSON"),
        (changed(told.delivery("d"), time=f"12:00 {CANARY}"), "d: its time must be as in RFC 3339"),
        (changed(told.delivery("d"), time="2026-11-23T12:00:00"), "d: its time must say of which zone it is"),
        (changed(told.delivery("d"), id="\u00e9"), "a record has an id in plain letters, a time, and data in JSON"),
        (changed(told.delivery("d"), datacontenttype="text/plain"), "a record has an id in plain letters, a time, and"),
        (
            read(told.said("delivery", "d", [CANARY])),
            "a record has an id in plain letters, a time, and data in JSON, an obj",
        ),
        (read(told.said("delivery", "d", {"headers": {"a": [CANARY]}})), "headers.a: Input should be a valid string"),
        (
            read(told.said("answer", "a", {"delivery": "d", "status": CANARY})),
            "status: Input should be a valid integer",
        ),
        (read(told.said("decision", "c", {"because": []})), "now: Field required"),
        (
            read(told.said("object", codec.digest(ONE), {"object": OTHER})),
            "the id of a recorded object must be its digest",
        ),
        (read(told.said("object", codec.digest({}), {"object": {}})), "the id of a recorded object must be its digest"),
        (read(told.write("w", "\x00")), "w: it names another record by what is no id"),
    ],
)
def test_what_is_no_record_is_refused_and_not_repeated(event: Event, said: str) -> None:
    with pytest.raises(NotARecord) as error:
        entry_of(event)
    assert said in str(error.value)
    assert CANARY not in str(error.value)


def test_a_deep_one_is_refused() -> None:
    event, deep = read(told.decision("c")), json.loads("[" * 300 + "]" * 300)
    with pytest.raises(NotARecord, match="recursion limit exceeded"):
        entry_of(Event(event.attributes, json.dumps({**event.data, "observed": deep}).encode()))
