"""What carries a model, on a real API server: taken as rendered, and found again as wanted."""

from __future__ import annotations

import copy

import pytest

from functions.workspace.render import APPLIED_HASH
from kaito.api.resources import KNATIVE_SERVICE, NAMESPACE, Kind, Object
from kaito.runtime.kube import Kube
from kaito.runtime.plan import holds
from tests.unit.functions.workspace.matrix import SCENES, rendered

PLACE = "carriers"
#: Of kinds that every cluster has: Knative's own are held to the real webhook's answers elsewhere.
CORE = [
    pytest.param(obj, id=f"{scene}-{obj['metadata']['name']}-{obj['kind']}")
    for scene in sorted(SCENES)
    for obj in rendered(scene)
    if Kind.of(obj) != KNATIVE_SERVICE
]


@pytest.fixture(scope="module")
def namespace(kube: Kube) -> str:
    kube.apply({"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, "metadata": {"name": PLACE}}, manager="t")
    return PLACE


@pytest.mark.parametrize("obj", CORE)
def test_the_api_server_takes_it_and_it_is_found_as_wanted(kube: Kube, namespace: str, obj: Object) -> None:
    found = kube.apply(_in(namespace, obj), manager="kaito-workspace", dry_run=True)
    assert holds(obj["spec"], found["spec"]), "what the API server fills in is no drift"
    assert found["metadata"]["annotations"][APPLIED_HASH] == obj["metadata"]["annotations"][APPLIED_HASH]


def _in(namespace: str, obj: Object) -> Object:
    made = copy.deepcopy(obj)
    made["metadata"] |= {"namespace": namespace, "ownerReferences": []}
    return made
