"""A trace of a real recording, and what holds of the trace of any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.recordings.recording import Record, Recording, RecordingError, read, read_lines
from eventing.traces import files
from eventing.traces.span import Span, to_otlp
from eventing.traces.trace import trace
from kaito.api.tracing import root_span, trace_id
from tests.unit.eventing.recordings.scenes import history

#: Of an embedded platform that served config/examples/smollm2.yaml and answered two questions.
FOLDER = Path(__file__).parents[3] / "contract" / "fixtures" / "traces"
RECORDS = [record for _, record in read_lines(FOLDER / "functions.ndjson")]
NAME = "workspace-smollm2"
SERVED = partial(files.read, [FOLDER])
PLACES = range(len(RECORDS))


def made(records: Iterable[Record] = RECORDS, *, everything: bool = False) -> tuple[Span, ...]:
    return trace(Recording.of(records), "default", NAME, SERVED, everything=everything)


def below(spans: Sequence[Span], parent: Span) -> list[Span]:
    return [it for it in spans if it.parent == parent.id]


def one(spans: Sequence[Span], name: str, **attributes: object) -> Span:
    found = [
        it
        for it in spans
        if it.name == name and all(it.attributes.get(f"kaito.{key}") == value for key, value in attributes.items())
    ]
    assert found, name
    return found[0]


def test_one_tree_from_the_apply_to_the_first_answer() -> None:
    spans = made()
    root, *others = spans
    assert root.name == f"workspace default/{NAME}"
    assert root.id == root_span(str(root.attributes["kaito.uid"]))
    source = one(others, "source", what=f"add Workspace/default/{NAME}")
    (broker,) = below(others, source)
    assert (source.parent, broker.attributes["kaito.function"]) == (root.id, "kaito-workspace")
    (reconcile,) = below(others, broker)
    assert reconcile.service == "kaito-workspace"
    claim = below(others, reconcile)[-1]
    assert claim.name.startswith("apply Machine ws")
    assert claim.attributes["kaito.why"] == "1 nodes wanted"

    node = next(it for it in below(others, root) if it.name.startswith("node "))
    pod = one(others, f"pod start {NAME}-00001")
    (start,) = below(others, pod)
    assert [it.name for it in below(others, start)] == ["load", "tokenizer", "warm"]
    assert claim.ended - node.began < 10**9
    assert node.began < pod.began < start.began < start.ended < pod.ended
    assert node.ended < start.began

    (answer,) = [it for it in others if it.name == "POST /chat"]
    (token,) = answer.moments
    assert (answer.parent, token.name) == (root.id, "first token")
    assert answer.began < token.when < answer.ended == root.ended
    turns = [it.name for it in root.moments]
    assert turns == ["MachineReady", "ResourceReady", "InferenceReady", "WorkspaceReady"]
    assert pod.ended <= root.moments[-1].when <= answer.began


def test_without_the_servers_own_spans_the_stages_are_placed_before_the_pod_is_ready() -> None:
    spans = trace(Recording.of(RECORDS), "default", NAME)
    pod = one(spans, f"pod start {NAME}-00001")
    stages = below(spans, pod)
    assert [it.name for it in stages] == ["load", "tokenizer", "warm"]
    assert [it.ended for it in stages] == [stages[1].began, stages[2].began, pod.ended]
    assert spans[0].ended == spans[0].moments[-1].when, "it ends when it is ready"


def test_what_nothing_came_of_is_left_out_but_for_all() -> None:
    few, everything = made(), made(everything=True)
    assert {it.id for it in few} < {it.id for it in everything}
    silent = {it.attributes["kaito.delivery"] for it in everything if it.name == "broker" and not below(everything, it)}
    assert silent
    told = {it.attributes["kaito.delivery"] for it in few if it.name == "broker"}
    assert all(below(few, it) for it in few if it.name == "broker")
    assert told < told | silent
    assert len([it for it in everything if it.name == "broker"]) > len([it for it in everything if it.name == "source"])


def test_every_trace_of_the_scenes_holds_together() -> None:
    holds_together(trace(history().recording, "default", "phi", everything=True))


@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from(PLACES), max_size=60), st.booleans())
def test_whatever_a_recording_has_lost_the_trace_holds_together(lost: set[int], everything: bool) -> None:
    records = [it for place, it in enumerate(RECORDS) if place not in lost]
    spans = made(records, everything=everything)
    holds_together(spans)
    again = made(reversed(records), everything=everything)
    assert json.dumps(to_otlp(spans)) == json.dumps(to_otlp(again))


def holds_together(spans: Sequence[Span]) -> None:
    root, *others = spans
    ids = {it.id for it in spans}
    assert len(ids) == len(spans), "each is there once"
    assert not root.parent
    assert {it.trace for it in spans} == {trace_id(str(root.attributes["kaito.uid"]))}
    for span in others:
        assert span.parent in ids
        assert root.began <= span.began <= span.ended
        assert span.name
        assert span.service


def test_a_foreign_trace_is_linked_to() -> None:
    foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    header = {"Ce-Traceparent": foreign}
    changed = [
        replace(it, data={**it.data, "headers": it.data["headers"] | header}) if it.kind == "delivery" else it
        for it in RECORDS
    ]
    plain, linked = made(), made(changed)
    link = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert [it.id for it in plain] == [it.id for it in linked]
    caused = [it for it in linked if it.name.startswith("reconcile") and it.attributes["kaito.because"] != "timer"]
    assert caused
    assert all(link in it.links for it in caused)


def test_the_source_has_the_id_that_the_event_was_sent_with() -> None:
    spans = made()
    told = [it for it in RECORDS if it.kind == "delivery" and it.data["headers"].get("Ce-Traceparent")]
    sent = {it.data["headers"]["Ce-Traceparent"].split("-")[2] for it in told}
    assert {it.id for it in spans if it.name == "source"} & sent
    assert {it.data["headers"]["Ce-Traceparent"].split("-")[1] for it in told} == {spans[0].trace}


def test_a_workspace_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(RecordingError, match=f"no Workspace default/phi in the recording; it knows default/{NAME}"):
        trace(Recording.of(RECORDS), "default", "phi")
    with pytest.raises(RecordingError, match="it knows none"):
        trace(Recording(), "default", "phi")


def test_spans_are_read_as_far_as_they_are_written(tmp_path: Path) -> None:
    text = (FOLDER / "serving.otlp.jsonl").read_bytes()
    wanted = made()[0].trace
    whole = list(SERVED(wanted))
    assert len(whole) > 4
    file = tmp_path / "one.otlp.jsonl"
    file.write_bytes(text + text.splitlines()[0][:-20])
    assert list(files.read([file], wanted)) == whole
    assert list(files.read([file], "0" * 32)) == []
    file.write_bytes(b'{"resourceSpans": 5, "traceId": "%s"}\n' % wanted.encode())
    with pytest.raises(RecordingError, match="line 1: no OTLP spans"):
        list(files.read([file], wanted))
    with pytest.raises(RecordingError, match="nowhere cannot be read"):
        list(files.read([tmp_path / "nowhere"], wanted))
    assert read([FOLDER / "functions.ndjson"]).deliveries
