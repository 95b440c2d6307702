"""Which Workspace an event is a hint about."""

from __future__ import annotations

import json

import pytest

from functions.tuning.app import keys
from kaito.api.resources import Object
from kaito.runtime.events import Event
from tests.unit.functions.tuning.matrix import made
from tests.unit.functions.tuning.scenes import workspace

WORKSPACE = ("kaito.sh/v1alpha1", "Workspace", "poems")
JOB = ("batch/v1", "Job", "poems")
POD = ("v1", "Pod", "poems-a")
TUNES = workspace()
SERVES: Object = {**{name: it for name, it in TUNES.items() if name != "tuning"}, "inference": {}}
MADE = made(TUNES)
RUNS: Object = {"metadata": {"namespace": "default", **MADE["spec"]["template"]["metadata"]}}
OWNED: Object = {"metadata": {**MADE["metadata"], "labels": {}}}


def event(about: tuple[str, str, str], obj: object, verb: str = "update") -> Event:
    api_version, kind, name = about
    attributes = {"apiversion": api_version, "kind": kind, "name": name, "namespace": "default"}
    attributes |= {"type": f"dev.knative.apiserver.resource.{verb}", "datacontenttype": "application/json"}
    return Event(attributes, json.dumps(obj).encode())


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (event(WORKSPACE, TUNES), ["workspace/default/poems"]),
        (event(("kaito.sh/v1beta1", "Workspace", "poems"), TUNES), ["workspace/default/poems"]),
        (event(WORKSPACE, TUNES, "delete"), ["workspace/default/poems"]),
        (event(WORKSPACE, {}), ["workspace/default/poems"]),
        (event(WORKSPACE, SERVES), []),
        (event(JOB, MADE), ["workspace/default/poems"]),
        (event(JOB, MADE, "delete"), ["workspace/default/poems"]),
        (event(JOB, OWNED), ["workspace/default/poems"]),
        (event(POD, RUNS), ["workspace/default/poems"]),
        (event(JOB, {}), []),
        (event(JOB, {}, "delete"), ["workspace/default/poems"]),
        (event(POD, {}, "delete"), []),
        (event(("kaito.example/v1", "Job", "poems"), {}, "delete"), []),
        (event(POD, [1]), []),
    ],
    ids=[
        "tunes", "other version", "deleted", "unknown", "serves", "job", "job deleted", "job by owner", "pod by labels",
        "foreign job", "foreign job deleted", "foreign pod deleted", "other kind deleted", "no object",
    ],
)  # fmt: skip
def test_a_hint_is_at_the_workspace_that_tunes(hint: Event, expected: list[str]) -> None:
    assert [str(key) for key in keys(hint)] == expected
