from __future__ import annotations

from typing import cast

import pytest

from kaito.api.resources import Kind, Object
from kaito.embedded.knative.config import features
from kaito.runtime.kube import Kube


class OneConfigMap:
    def __init__(self, data: Object | None) -> None:
        self._found = None if data is None else {"data": data}

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        assert (kind.kind, name, namespace) == ("ConfigMap", "config-features", "knative-serving")
        return self._found


@pytest.mark.parametrize(
    ("data", "enabled"),
    [
        ({"_example": "a: enabled", "a": "enabled", "b": "Enabled", "c": "disabled", "d": "allowed"}, {"a", "b"}),
        ({}, set()),
        (None, set()),
    ],
)
def test_the_flags_are_those_of_the_cluster(data: Object | None, enabled: set[str]) -> None:
    assert features(cast("Kube", OneConfigMap(data))) == enabled
