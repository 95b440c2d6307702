"""Nodes of emulated machines: registered once, with what their instance type offers, and gone with their machine."""

from __future__ import annotations

from typing import cast

import presets
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import NODE, Object
from kaito.embedded.arm.kubelets import Kubelets
from kaito.runtime.kube import Kube, ObjectList


class Nodes:
    """An API server of Nodes."""

    def __init__(self, *names: str, labels: dict[str, str]) -> None:
        self.found = {name: {"metadata": {"name": name, "labels": labels}} for name in names}

    def list(self, _kind: object) -> ObjectList:
        return ObjectList(tuple(self.found.values()), "0")

    def apply(self, obj: Object, *, manager: str) -> Object:
        assert manager == "kubelet"
        self.found[obj["metadata"]["name"]] = obj
        return obj

    def delete(self, kind: object, name: str) -> None:
        assert kind == NODE
        del self.found[name]


def machine(name: str) -> Object:
    labels = {"node.kubernetes.io/instance-type": "Standard_NC12s_v3", "kubernetes.azure.com/agentpool": name}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def test_a_machine_registers_once_and_its_node_goes_with_it() -> None:
    cluster, machines = Nodes(labels={}), [machine("a")]
    kubelets = Kubelets(cast(Kube, cluster), lambda: machines, presets.load())
    kubelets.turn()
    node = cluster.found["a"]
    assert is_ready(node)
    assert gpus(node) == 2
    assert "no machine and no kubelet behind it" in str(node)
    del cluster.found["a"]
    kubelets.turn()
    assert not cluster.found, "a kubelet registers when it starts"
    cluster.found["a"] = node
    machines.clear()
    kubelets.turn()
    assert not cluster.found


def test_after_a_restart_nodes_of_others_stay_and_those_of_gone_machines_go() -> None:
    mine = Nodes("stale", "kept", labels={"kubernetes.azure.com/agentpool": "p"})
    mine.found |= Nodes("theirs", labels={}).found
    Kubelets(cast(Kube, mine), lambda: [machine("kept")], presets.load()).turn()
    assert mine.found.keys() == {"kept", "theirs"}
    assert "status" not in mine.found["kept"], "it had registered before"
