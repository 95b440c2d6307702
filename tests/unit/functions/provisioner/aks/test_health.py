"""When a node that works no more is given up, and when the breaker holds that back."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from functions.provisioner.aks.failure import Cause, Failure
from functions.provisioner.aks.health import HELD_BACK, Wait, unhealthy
from kaito.api.conditions import rfc3339
from kaito.api.resources import Object

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def node(status: str, minutes: float = 11, name: str = "one") -> Object:
    since = rfc3339(NOW - timedelta(minutes=minutes))
    said = {"type": "Ready", "status": status, "message": "kubelet is silent", "lastTransitionTime": since}
    return {"metadata": {"name": name}, "status": {"conditions": [said]}}


READY, SICK = node("True"), node("Unknown")


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_that_is_long_not_ready_is_given_up(status: str) -> None:
    failure = unhealthy(node(status), (), 0, 600, NOW)
    assert failure == Failure(
        Cause.UNHEALTHY, "NodeUnhealthy", "node one has not been Ready for 11 minutes: kubelet is silent"
    )


def test_until_then_it_is_waited_for() -> None:
    assert unhealthy(node("False", minutes=4), (), 0, 600, NOW) == Wait(360)


@pytest.mark.parametrize(
    ("seen", "after"), [(READY, 600), (SICK, math.inf), ({"metadata": {"name": "new"}, "status": {}}, 600)]
)
def test_what_is_ready_or_new_or_never_repaired_is_left(seen: Object, after: float) -> None:
    assert unhealthy(seen, (), 0, after, NOW) is None


@pytest.mark.parametrize(
    ("sick", "missing", "ready", "held"),
    [
        (0, 0, 0, False),
        (1, 0, 0, True),
        (0, 1, 0, True),
        (0, 0, 9, False),
        (1, 0, 8, False),
        (2, 0, 7, True),
        (1, 1, 7, True),
        (2, 0, 12, False),
        (30, 0, 0, True),
        (0, 30, 0, True),
    ],
)
def test_a_fifth_of_the_nodes_may_be_replaced_at_once_and_no_more(
    sick: int, missing: int, ready: int, *, held: bool
) -> None:
    health = unhealthy(SICK, [*([SICK] * sick), *([READY] * ready)], missing, 600, NOW)
    assert (health == HELD_BACK) is held
    assert isinstance(health, Failure) is not held
