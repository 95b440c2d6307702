from __future__ import annotations

from typing import cast

import pytest

from kaito.api.resources import TRIGGER, Kind, Object
from kaito.runtime.kube import Kube
from kaito.runtime.sweep import hears


class OneTrigger:
    """A Kube that has this Trigger, or none."""

    def __init__(self, status: Object | None) -> None:
        self._status = status

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        assert (kind, name, namespace) == (TRIGGER, "kaito-test", "kaito-system")
        return None if self._status is None else {"status": self._status}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "BrokerReady", "status": "True"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({}, True),  # the embedded platform's
        (None, True),  # Azure Functions
    ],
)
def test_a_function_hears_unless_its_trigger_is_not_ready(status: Object | None, expected: bool) -> None:
    assert hears(cast(Kube, OneTrigger(status)), "kaito-test") is expected
