"""An agent pool as it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.provisioner.aks.pool import Pool, disk_gb, pool_name, render
from kaito.api.claims import Claim, NodeRequest, render_claim
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object
from kaito.runtime.keys import Key

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def asking(kind: Kind = MACHINE, **requirements: list[str]) -> Object:
    obj = render_claim(NodeRequest("ws012345678", "Standard_NC12s_v3", "50Gi", {"apps": "phi"}), kind)
    obj["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-11-26T11:59:58Z"}
    obj["spec"]["requirements"] += [{"key": k, "operator": "In", "values": v} for k, v in requirements.items()]
    return obj


def properties(obj: Object) -> dict[str, Any]:
    found: dict[str, Any] = render(Claim.of(obj), "this-cluster", "Standard_NC12s_v3", 2, NOW)["properties"]
    return found


def test_what_is_asked_of_azure() -> None:
    assert properties(asking()) == {
        "type": "VirtualMachineScaleSets",
        "mode": "User",
        "count": 1,
        "vmSize": "Standard_NC12s_v3",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "osDiskSizeGB": 50,
        "nodeLabels": {
            "apps": "phi",
            "karpenter.sh/provisioner-name": "default",
            "kaito.sh/machine-type": "gpu",
            "kaito.sh/claim": "ws012345678",
            "kaito.sh/creation-timestamp": "2026-11-26T11-59-58Z",
        },
        "nodeTaints": ["sku=gpu:NoSchedule"],
        "tags": {
            "kaito.sh_cluster": "this-cluster",
            "kaito.sh_claim": "ws012345678",
            "kaito.sh_claim-kind": "Machine",
            "kaito.sh_claim-uid": "u-1",
            "kaito.sh_attempt": "2",
            "kaito.sh_created": "2026-11-26T12:00:00Z",
        },
    }


def test_spot_zones_and_the_image_family() -> None:
    obj = asking(
        NODE_CLAIM,
        **{"karpenter.sh/capacity-type": ["spot"], "topology.kubernetes.io/zone": ["westus3-1", "westus3-2"]},
    )
    obj["metadata"]["annotations"]["kaito.sh/node-image-family"] = "azurelinux"
    found = properties(obj)
    assert (found["scaleSetPriority"], found["scaleSetEvictionPolicy"], found["spotMaxPrice"]) == ("Spot", "Delete", -1)
    assert found["availabilityZones"] == ["1", "2"]
    assert found["osSKU"] == "AzureLinux"


@pytest.mark.parametrize(
    ("asked", "gb"),
    [("400", 400), (400, 400), ("50Gi", 50), ("1500Mi", 2), ("0", 0), ("1Ti", 1024), (str(400 * 2**30), 400)],
)
def test_the_disk_in_gb_however_it_is_said(asked: str | int, gb: int) -> None:
    obj = asking()
    obj["spec"]["resources"]["requests"] = {"storage": asked}
    assert disk_gb(Claim.of(obj)) == gb


def test_no_disk_asked_for_is_azures_own_size() -> None:
    obj = asking()
    obj["spec"]["resources"]["requests"] = {}
    assert "osDiskSizeGB" not in properties(obj)


def test_a_disk_that_is_no_size_is_refused() -> None:
    obj = asking()
    obj["spec"]["resources"]["requests"] = {"storage": "large"}
    with pytest.raises(ValueError, match="'large', is no size such as 50Gi"):
        properties(obj)


def test_a_pool_has_its_claims_name_where_azure_takes_that() -> None:
    assert pool_name(Key(MACHINE, "", "ws012345678")) == "ws012345678"
    hashed = pool_name(Key(NODE_CLAIM, "", "kaito-7x9kq"))
    assert len(hashed) == 12
    assert hashed.isalnum()
    assert hashed[0] == "k"
    assert hashed != pool_name(Key(NODE_CLAIM, "", "kaito-7x9kp"))


def test_it_is_known_whose_a_pool_is() -> None:
    claim = Claim.of(asking())
    made = Pool.of(
        {"name": "ws012345678", **render(claim, "this-cluster", "Standard_NC12s_v3", 2, NOW)}, "this-cluster"
    )
    assert made.is_of(claim)
    assert made.claim == Key(MACHINE, "", "ws012345678")
    assert (made.attempt, made.created) == (2, NOW)
    foreign = Pool.of({"name": "ws012345678", "properties": {"provisioningState": "Succeeded"}}, "this-cluster")
    assert not foreign.is_of(claim)
    assert foreign.claim is None
    assert (foreign.attempt, foreign.created) == (0, None)
