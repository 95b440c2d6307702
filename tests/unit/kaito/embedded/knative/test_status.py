from __future__ import annotations

from typing import Any

import pytest

from kaito.api.resources import Object
from kaito.embedded.knative.revision import PodFailure
from kaito.embedded.knative.status import Progress, service_status

THEN, NOW = "2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z"
CRASH = PodFailure("ExitCode1", "Container failed with exit code 1: no memory")
REFUSAL = PodFailure("AdmissionRefused", "must not set the field(s): spec.template.spec.nodeName.")
FAILED = 'Revision "x-00001" failed with message: Container failed with exit code 1: no memory.'
WAITING = 'Configuration "x" is waiting for a Revision to become ready.'
NONE_READY = 'Configuration "x" does not have any ready Revision.'


def status(previous: Object | None = None, **said: Any) -> Object:
    return service_status(Progress(name="x", generation=1, url="http://x", **said), previous or {}, NOW)


def conditions(status: Object) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in status["conditions"]}


@pytest.mark.parametrize(
    ("said", "configurations", "routes", "ready"),
    [
        (
            {"created": "x-00001"},
            ("Unknown", "", ""),
            ("Unknown", "RevisionMissing", WAITING),
            ("Unknown", "RevisionMissing", WAITING),
        ),
        ({"created": "x-00001", "ready": "x-00001"}, ("True", "", ""), ("True", "", ""), ("True", "", "")),
        ({"created": "x-00002", "ready": "x-00001"}, ("Unknown", "", ""), ("True", "", ""), ("Unknown", "", "")),
        (
            {"created": "x-00001", "failure": CRASH},
            ("False", "RevisionFailed", FAILED),
            ("False", "RevisionMissing", NONE_READY),
            ("False", "RevisionFailed", FAILED),
        ),
        (
            {"created": "x-00002", "ready": "x-00001", "failure": CRASH},
            ("False", "RevisionFailed", FAILED.replace("00001", "00002")),
            ("True", "", ""),
            ("False", "RevisionFailed", FAILED.replace("00001", "00002")),
        ),
        (
            {"refusal": REFUSAL},
            ("False", "AdmissionRefused", REFUSAL.message),
            ("False", "RevisionMissing", NONE_READY),
            ("False", "AdmissionRefused", REFUSAL.message),
        ),
        (
            {"created": "x-00001", "ready": "x-00001", "refusal": REFUSAL},
            ("False", "AdmissionRefused", REFUSAL.message),
            ("True", "", ""),
            ("False", "AdmissionRefused", REFUSAL.message),
        ),
    ],
)
def test_conditions(said: dict[str, Any], configurations: object, routes: object, ready: object) -> None:
    assert conditions(status(**said)) == {"ConfigurationsReady": configurations, "RoutesReady": routes, "Ready": ready}


def test_a_time_moves_only_with_its_status() -> None:
    before = status({}, created="x-00001")
    before["conditions"] = [{**condition, "lastTransitionTime": THEN} for condition in before["conditions"]]
    failed = status(before, created="x-00001", failure=CRASH)
    assert {c["lastTransitionTime"] for c in failed["conditions"]} == {NOW}
    again = status(before, created="x-00001")
    assert again == before


def test_traffic_names_what_serves() -> None:
    updating = status(created="x-00002", ready="x-00001")
    assert updating["latestCreatedRevisionName"] == "x-00002"
    assert updating["latestReadyRevisionName"] == "x-00001"
    assert updating["traffic"] == [{"latestRevision": True, "percent": 100, "revisionName": "x-00001"}]
    assert updating["address"] == {"url": "http://x"}
