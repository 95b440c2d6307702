"""Reading a Node as the API server gives it."""

from __future__ import annotations

import pytest

from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object


@pytest.mark.parametrize(
    ("status", "ready", "count"),
    [
        ({}, False, 0),
        (None, False, 0),
        ({"conditions": None, "allocatable": None}, False, 0),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}], "allocatable": {"nvidia.com/gpu": "2"}}, False, 2),
        # As written by somebody who gave no times: the API server says null.
        ({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": None, "reason": None}]}, True, 0),
        ({"conditions": [{"type": "DiskPressure", "status": "True"}]}, False, 0),
    ],
)
def test_what_a_node_says_of_itself(status: Object | None, count: int, *, ready: bool) -> None:
    node: Object = {"metadata": {"name": "n"}, "status": status}
    assert is_ready(node) is ready
    assert gpus(node) == count
