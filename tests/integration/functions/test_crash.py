"""A function killed between any two writes: the next one finishes what it began, and makes nothing twice.

The real decisions and the real API server; only the event loop is played here, so that the crash can be put exactly
between two writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import presets
from functions.provisioner import observe as claims
from functions.provisioner import reconcile as provisioner
from functions.provisioner.settings import LABEL
from functions.provisioner.settings import Settings as ProvisionerSettings
from functions.provisioner.status import NAME as PROVISIONER
from functions.workspace import observe as workspaces
from functions.workspace import reconcile as workspace
from functions.workspace.settings import Settings as WorkspaceSettings
from kaito.api.conditions import conditions_of
from kaito.api.resources import CONFIG_MAP, KNATIVE_SERVICE, MACHINE, NAMESPACE, NODE, WORKSPACE, Object
from kaito.runtime.apply import run
from kaito.runtime.keys import Key
from kaito.runtime.kube import Conflict, Kube
from kaito.runtime.plan import Announce, Mark, Plan
from tests.nodes import bring_node

ROUNDS = 12


class World:
    """Both functions, taking turns on one API server; at most ``writes`` writes happen, then all is cut short."""

    def __init__(self, kube: Kube, namespace: str, settings: ProvisionerSettings) -> None:
        self.kube, self.namespace, self.settings = kube, namespace, settings
        self.key = Key(WORKSPACE, namespace, "phi")
        self.now = datetime.now(UTC)
        self.labels = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": namespace}

    def create(self) -> None:
        self.kube.apply(
            {
                "apiVersion": "kaito.sh/v1alpha1",
                "kind": "Workspace",
                "metadata": {"name": "phi", "namespace": self.namespace},
                "resource": {
                    "instanceType": "Standard_NC6s_v3",
                    "labelSelector": {"matchLabels": {"apps": self.namespace}},
                },
                "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
            },
            manager="user",
        )

    def plans(self) -> Iterator[tuple[str, Plan]]:
        """One turn of each function, decided when its turn comes."""
        catalogue, settings = presets.load(), WorkspaceSettings()
        seen = workspaces.observe(self.kube, presets.load(), [self.key])[self.key]
        yield workspace.NAME, workspace.reconcile(seen, catalogue, settings, self.now)
        for machine in self.machines():
            key = Key(MACHINE, "", machine["metadata"]["name"])
            found = claims.observe(self.kube, [key], others=self.settings.adopts)[key]
            yield PROVISIONER, provisioner.reconcile(found, catalogue, self.settings, self.now)

    def run(self, writes: int | None = None) -> int:
        """Turns until nothing is planned; returns the writes done. With ``writes``, dies after so many."""
        done = 0
        for _ in range(ROUNDS):
            before = done
            for manager, plan in self.plans():
                for effect in plan.effects:
                    if done == writes:
                        return done
                    if not isinstance(effect, Announce):
                        run(effect, self.kube, manager)
                    done += 1
            if done == before:
                return done
            self.now += timedelta(seconds=1)
        raise AssertionError(f"not settled after {ROUNDS} rounds")

    def machines(self) -> tuple[Object, ...]:
        return self.kube.list(MACHINE, labels=self.labels).items

    def nodes(self) -> tuple[Object, ...]:
        return self.kube.list(NODE, labels=self.labels).items

    def status(self) -> dict[str, str]:
        found = self.kube.get(WORKSPACE, "phi", self.namespace)
        return {kind: condition.status for kind, condition in conditions_of(found or {}).items()}


@pytest.fixture
def namespace(kube: Kube) -> str:
    name = f"crash-{secrets.token_hex(4)}"
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="tests")
    assert kube.get(NAMESPACE, name)
    return name


def test_what_is_gone_gets_no_finalizer_and_may_lose_one(kube: Kube, namespace: str) -> None:
    made = kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone", "namespace": namespace}}, manager="tests"
    )
    kube.delete(CONFIG_MAP, "gone", namespace)
    with pytest.raises(Conflict, match="gone is gone: nothing more is done for it"):
        run(Mark(made, ("kaito.sh/a",), "to be made"), kube, "tests")
    made["metadata"]["finalizers"] = ["kaito.sh/a"]
    run(Mark(made, (), "to go"), kube, "tests")
    assert kube.get(CONFIG_MAP, "gone", namespace) is None


def test_every_crash_between_two_writes_is_survived(kube: Kube, namespace: str) -> None:
    survives_every_crash(World(kube, namespace, ProvisionerSettings(boot_seconds=0)))


def test_every_crash_is_survived_where_nodes_are_lent(kube: Kube, namespace: str) -> None:
    bring_node(kube, namespace)
    try:
        survives_every_crash(World(kube, namespace, ProvisionerSettings(local_nodes=LABEL)))
        kept = kube.get(NODE, namespace)
        assert kept is not None, "it is not ours to delete"
        assert kept["metadata"]["labels"] == {"kubernetes.io/hostname": namespace}
    finally:
        kube.delete(NODE, namespace)


def survives_every_crash(world: World) -> None:
    kube = world.kube
    for writes in range(100):
        world.create()
        whole = world.run(writes) < writes  # nothing was left to cut short
        world.run()
        (machine,), (node,) = world.machines(), world.nodes()
        assert conditions_of(machine)["Ready"].status == "True", conditions_of(machine)["Ready"].message
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert kube.get(KNATIVE_SERVICE, "phi", world.namespace)
        assert world.status()["ResourceReady"] == "True"

        kube.delete(WORKSPACE, "phi", world.namespace)
        world.run(writes)
        world.run()
        assert kube.get(WORKSPACE, "phi", world.namespace) is None
        assert (world.machines(), world.nodes()) == ((), ())
        if whole:
            assert writes > 10, "the whole story has more writes than that"
            return
    raise AssertionError("the story never came to its end uncut")
