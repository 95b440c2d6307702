"""Which agent pools are read, and what a sweep finds by them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from functions.provisioner.aks.effects import CreatePool
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from functions.provisioner.app import list_keys
from functions.provisioner.observe import observe
from kaito.api.resources import MACHINE, NODE, Kind, Object
from kaito.embedded.arm.emulator import Fault, Response
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube, ObjectList
from tests.chaos.cluster import Cluster
from tests.chaos.world import World

LOST = Key(MACHINE, "", "lost")


class NoClaims:
    """A cluster without claims and nodes."""

    cluster = "this-cluster"

    def get(self, _kind: Kind, _name: str) -> Object | None:
        return None

    def list(self, _kind: Kind, labels: object = None) -> ObjectList:
        return ObjectList((), "0")

    def list_installed(self, _kind: Kind) -> tuple[Object, ...]:
        return ()


KUBE = cast(Kube, NoClaims())


def with_a_lost_pool() -> World:
    world = World()
    tags = {
        "kaito.sh_cluster": "this-cluster",
        "kaito.sh_claim": "lost",
        "kaito.sh_claim-kind": "Machine",
        "kaito.sh_claim-uid": "u",
    }
    world.pools.run(CreatePool("lost", {"properties": {"vmSize": "Standard_NC6s_v3", "tags": tags}}, "why"))
    world.arm.put_foreign("theirs")
    return world


def test_a_sweep_finds_a_pool_that_has_lost_its_claim_and_nobody_elses() -> None:
    assert list_keys(KUBE, with_a_lost_pool().pools) == [LOST]


def test_a_sweep_goes_on_without_azure() -> None:
    world = World(faults=lambda _method, _name: Fault(Response(503)))
    assert list_keys(KUBE, world.pools) == []


def test_one_pool_is_read_by_a_get_and_several_by_a_list() -> None:
    world = with_a_lost_pool()
    world.arm.log.clear()
    one = observe(KUBE, [LOST], pools=world.pools)[LOST]
    several = observe(KUBE, [LOST, Key(MACHINE, "", "none")], pools=world.pools)
    assert isinstance(one.pool, Pool)
    assert several[LOST] == one
    assert several[Key(MACHINE, "", "none")].pool is None
    assert [request.url.rpartition("/")[2].partition("?")[0] for request, _ in world.arm.log] == ["lost", "agentPools"]


def test_what_cannot_be_read_is_observed_as_that() -> None:
    world = World(faults=lambda _method, _name: Fault(Response(503)))
    seen = observe(KUBE, [LOST], pools=world.pools)[LOST]
    assert isinstance(seen.pool, AzureError)
    assert seen.pool.status == 503


def test_the_rest_of_the_nodes_is_read_once_for_all_that_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    keys = [world.key, Key(MACHINE, "", "ws112233445"), Key(MACHINE, "", "ws223344556")]
    for key in keys[1:]:
        world.create(key)
    for key in keys:
        world.turn(key=key)
    world.seconds += 130
    world.boot()
    world.report("False")
    read: list[Kind] = []

    def listed(kind: Kind, **selected: Any) -> ObjectList:
        read.append(kind)
        return Cluster.list(world.cluster, kind, **selected)

    monkeypatch.setattr(world.cluster, "list", listed)
    seen = observe(cast(Kube, world.cluster), keys, pools=world.pools)
    assert [len(seen[key].others) for key in keys] == [2, 2, 2]
    assert read == [NODE, NODE], "the claims' own, and the rest"
