"""Machine and NodeClaim are one model."""

from __future__ import annotations

import pytest

from kaito.api.claims import CLAIM_KINDS, Claim, NodeRequest, render_claim
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind

REQUEST = NodeRequest("ws012345678", "Standard_NC6s_v3", "50Gi", {"apps": "phi"})


@pytest.mark.parametrize("kind", CLAIM_KINDS)
def test_what_is_rendered_is_read_back(kind: Kind) -> None:
    claim = Claim.of(render_claim(REQUEST, kind))
    assert claim.kind == kind
    assert claim.instance_types == ("Standard_NC6s_v3",)
    assert claim.spec.taints[0].key == "sku"
    assert not claim.ready
    assert not claim.deleting


@pytest.mark.parametrize(
    ("kind", "storage", "stages"),
    [
        (MACHINE, "storage", ("MachineLaunched", "MachineRegistered", "MachineInitialized")),
        (NODE_CLAIM, "ephemeral-storage", ("Launched", "Registered", "Initialized")),
    ],
)
def test_where_the_two_differ(kind: Kind, storage: str, stages: tuple[str, ...]) -> None:
    rendered = render_claim(REQUEST, kind)
    assert rendered["spec"]["resources"]["requests"] == {storage: "50Gi"}
    assert Claim.of(rendered).stages == stages


def test_a_node_claim_never_expires_under_a_workspace() -> None:
    spec = render_claim(REQUEST, NODE_CLAIM)["spec"]
    assert spec["expireAfter"] == "Never"
    assert spec["nodeClassRef"]["group"]


def test_a_cpu_node_is_not_tainted_for_gpus() -> None:
    assert "taints" not in render_claim(NodeRequest("n", "Standard_D4s_v5", "10Gi", gpu=False), MACHINE)["spec"]


def test_only_operator_in_names_what_is_wanted() -> None:
    rendered = render_claim(REQUEST, MACHINE)
    rendered["spec"]["requirements"][0]["operator"] = "NotIn"
    assert Claim.of(rendered).instance_types == ()
