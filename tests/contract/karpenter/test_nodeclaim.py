"""Our NodeClaims against a released Karpenter's own kind: its schema and rules, on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kaito.api.claims import CLAIM_KINDS, GPU, Claim, NodeRequest, render_claim
from kaito.api.resources import MACHINE, NODE_CLAIM, Object
from kaito.embedded import gobuild, manifests, programs
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.plan import holds

PIN = Path(__file__).parent
REQUESTS = {
    "gpu": NodeRequest("ws0123abcde", "Standard_NC6s_v3", "50Gi", {"apps": "phi", "kaito.sh/workspace": "phi"}),
    "cpu": NodeRequest("ws1123abcde", "Standard_D4s_v5", "0", {"apps": "phi"}, gpu=False),
}
requests = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())


def karpenters_kind() -> Object:
    """From the module that go.mod names; go.sum says that it is that very one."""
    go = gobuild.toolchain(PIN, lambda _: None)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    argv = [str(go), "mod", "download", "-json", "sigs.k8s.io/karpenter"]
    answer = subprocess.run(argv, cwd=PIN, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    crd = Path(json.loads(answer.stdout)["Dir"]) / "pkg" / "apis" / "crds" / "karpenter.sh_nodeclaims.yaml"
    found: Object = yaml.safe_load(crd.read_text())
    return found


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A cluster that has Karpenter's kind, and not ours."""
    plane = ControlPlane(tmp_path_factory.mktemp("karpenter"), programs.prepare())
    plane.start(before_controllers=lambda kube: manifests.install_crds(kube, [karpenters_kind()]))
    yield plane.kube()
    plane.stop()


@requests
def test_karpenter_takes_it_as_it_is(kube: Kube, request_: NodeRequest) -> None:
    wanted = render_claim(request_, NODE_CLAIM)
    found = kube.apply(wanted, manager="kaito-workspace")
    assert holds(wanted["spec"], found["spec"]), "no field of it is unknown there"
    assert Claim.of(found).instance_types == (request_.instance_type,)


def test_its_spec_cannot_be_changed_there_and_we_do_not_try(kube: Kube) -> None:
    """A claim is named after its slot for ever, and a second apply of the same says nothing new."""
    wanted = render_claim(NodeRequest("ws2123abcde", "Standard_NC6s_v3", "50Gi"), NODE_CLAIM)
    first = kube.apply(wanted, manager="kaito-workspace")
    assert (
        kube.apply(wanted, manager="kaito-workspace")["metadata"]["resourceVersion"]
        == (first["metadata"]["resourceVersion"])
    )
    other = render_claim(NodeRequest("ws2123abcde", "Standard_NC24s_v3", "50Gi"), NODE_CLAIM)
    with pytest.raises(KubeError, match="immutable"):
        kube.apply(other, manager="kaito-workspace")


@requests
@pytest.mark.parametrize("kind", CLAIM_KINDS, ids=lambda kind: str(kind.kind))
def test_it_says_what_a_provisioner_goes_by(kind: object, request_: NodeRequest) -> None:
    claim = render_claim(request_, MACHINE if kind == MACHINE else NODE_CLAIM)
    spec, meta = claim["spec"], claim["metadata"]
    requirements = {it["key"]: (it["operator"], it["values"]) for it in spec["requirements"]}
    assert requirements["node.kubernetes.io/instance-type"] == ("In", [request_.instance_type])
    assert requirements["kubernetes.io/os"] == ("In", ["linux"])
    assert "namespace" not in meta, "the kind is cluster-scoped"
    assert request_.labels.items() <= meta["labels"].items(), "which the node gets"
    assert meta["annotations"] == {"karpenter.sh/do-not-disrupt": "true"}
    taints = [(it["key"], it["value"], it["effect"]) for it in spec.get("taints") or ()]
    assert taints == ([("sku", "gpu", "NoSchedule")] if request_.gpu else [])
    asked = spec["resources"]["requests"]
    assert GPU not in asked, "the instance type says how many"
    if kind == MACHINE:
        assert asked == {"storage": request_.storage}
        assert meta["labels"]["karpenter.sh/provisioner-name"] == "default"
    else:
        assert asked == {"ephemeral-storage": request_.storage}, "a storage request fits no node of Karpenter's"
        assert meta["labels"]["karpenter.sh/nodepool"] == "kaito"
        assert spec["expireAfter"] == "Never", "left out it is 30 days, whatever do-not-disrupt says"
        restricted = {key for key in requirements if key.startswith("karpenter.sh/")}
        assert restricted <= {"karpenter.sh/nodepool", "karpenter.sh/capacity-type"}
