"""Random histories: whatever happens and in whatever order, the function ends where it should and never lies."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from functions.workspace.idle import AT_ZERO
from functions.workspace.nodes import claim_name
from functions.workspace.observed import Observed
from functions.workspace.settings import Settings
from kaito.api.conditions import conditions_of, parse_time, rfc3339
from kaito.api.meta import Condition
from kaito.api.resources import (
    CONTROLLER_REVISION,
    KNATIVE_SERVICE,
    MACHINE,
    NODE,
    REVISION,
    SERVICE,
    STATEFUL_SET,
    WORKSPACE,
    Object,
)
from kaito.runtime.plan import Apply, Delete, Plan
from tests.announced import announced, ends
from tests.unit.functions.workspace.cluster import Cluster

SKU = "Standard_NC6s_v3"
NAMES = ("phi", "psi")
ROUNDS = 25
#: Mostly one, so that histories are long; the other, so that two are kept apart.
names = st.sampled_from((*NAMES[:1] * 4, *NAMES))
picks = st.integers(0, 7)
#: What a node says that can be used.
GOOD: Object = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"nvidia.com/gpu": "1"}}
#: Of nodes; what two serve is a gang.
counts = st.sampled_from([1, 2])
TO_ZERO, BALANCED = "kaito.sh/scale-to-zero", "kaito.sh/enablelb"
CARRIERS = (KNATIVE_SERVICE, STATEFUL_SET)


class Histories(RuleBasedStateMachine):
    """A user, a provisioner, nodes, Knative, askers and strangers, each doing what they may do at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.hears = True
        self.old: dict[str, Observed] = {}
        self.slots: dict[str, int] = {}  # of every Workspace that ever was, by uid

    @initialize(name=names, count=counts, settled=st.booleans(), left_alone=st.sampled_from([None, 1, 20]))
    def first(self, name: str, count: int, settled: bool, left_alone: int | None) -> None:
        self.create(name, count)
        if left_alone is not None and count == 1:
            self.user_annotates(name, "true", "False")
        if settled:
            self._settles(name)
        if left_alone is not None:
            self.nobody_asks_for_a_model(0, left_alone)

    # The user.

    def create(self, name: str, count: int) -> None:
        if self.cluster.get(WORKSPACE, name, "default") is None:
            made = self.cluster.create(
                {
                    "apiVersion": WORKSPACE.api_version,
                    "kind": WORKSPACE.kind,
                    "metadata": {"name": name, "namespace": "default", "annotations": {}},
                    "resource": {
                        "count": count,
                        "instanceType": SKU,
                        "labelSelector": {"matchLabels": {"apps": name}},
                    },
                    "inference": {"preset": {"name": "phi-3-mini-4k-instruct", "accessMode": "public"}},
                }
            )
            self.slots[made["metadata"]["uid"]] = count

    @rule(name=names, count=counts)
    def user_creates(self, name: str, count: int) -> None:
        self.create(name, count)

    @rule(name=names)
    def user_deletes(self, name: str) -> None:
        if (workspace := self.cluster.get(WORKSPACE, name, "default")) is not None:
            self.cluster.delete(workspace)

    @rule(name=names, to_zero=st.sampled_from(["true", "false"]), balanced=st.sampled_from(["True", "False"]))
    def user_annotates(self, name: str, to_zero: str, balanced: str) -> None:
        if (workspace := self.cluster.get(WORKSPACE, name, "default")) is not None:
            workspace["metadata"]["annotations"] |= {TO_ZERO: to_zero, BALANCED: balanced}
            self.cluster.change(workspace)

    @rule(name=names, strength=st.sampled_from(["", "0.5", "1.0"]))
    def user_adapts(self, name: str, strength: str) -> None:
        workspace = self.cluster.get(WORKSPACE, name, "default")
        if workspace is not None and workspace["resource"]["count"] == 1:
            adapter = {"source": {"name": "poems", "image": "poems:1"}, "strength": strength}
            inference = {**workspace["inference"], "adapters": [adapter] if strength else []}
            self.cluster.change(workspace, inference=inference)

    @rule(name=names, index=st.integers(0, 2))
    def user_brings_a_node(self, name: str, index: int) -> None:
        node = f"brought-{name}-{index}"
        if self.cluster.get(NODE, node) is None:
            self.cluster.create(_node(node, {"apps": name}))

    # The function: told of everything, until events are lost; cut short anywhere, and by an old look.

    @invariant()
    def the_function_runs_where_it_hears(self) -> None:
        if self.hears:
            for name in NAMES:
                seen = self.cluster.observe("default", name)
                plan = self.cluster.reconcile("default", name, seen=seen)
                if any(isinstance(it, Delete) and it.kind == MACHINE for it in plan.effects):
                    assert seen.workspace is None or _going(seen.workspace) or self._is_left_alone(seen)
                self._does_not_lie(name)
                self._announces_what_has_changed(name, seen, plan)

    @rule(hears=st.booleans())
    def events_are_lost_for_a_while(self, hears: bool) -> None:
        self.hears = hears

    @rule(name=names, writes=st.integers(0, 4))
    def the_function_is_cut_short(self, name: str, writes: int) -> None:
        self.cluster.reconcile("default", name, writes=writes)

    @rule(name=names)
    def another_replica_looks(self, name: str) -> None:
        self.old[name] = self.cluster.observe("default", name)

    @precondition(lambda self: self.old)
    @rule(name=names)
    def another_replica_writes(self, name: str) -> None:
        if (seen := self.old.pop(name, None)) is not None:
            self.cluster.reconcile("default", name, seen=seen)

    @rule(name=names)
    def a_replica_sleeps_through_the_end(self, name: str) -> None:
        seen = self.cluster.observe("default", name)
        self.user_deletes(name)
        self._settles(name)
        self.cluster.reconcile("default", name, seen=seen)

    # The provisioner and the nodes.

    @rule(pick=picks, outcome=st.sampled_from(["launched", "quota", "capacity"]))
    def provisioner_launches(self, pick: int, outcome: str) -> None:
        if (claim := _pick(self.cluster.every(MACHINE), pick)) is not None and not _going(claim):
            self._launch(claim, outcome)

    @rule(pick=picks)
    def provisioner_cleans_up(self, pick: int) -> None:
        if (claim := _pick([it for it in self.cluster.every(MACHINE) if _going(it)], pick)) is not None:
            self._clean_up(claim)

    @rule(pick=picks, ready=st.sampled_from(["True", "False", "Unknown"]), gpus=st.sampled_from(["0", "1"]))
    def node_reports(self, pick: int, ready: str, gpus: str) -> None:
        if (node := _pick(self.cluster.every(NODE), pick)) is not None:
            conditions = [{"type": "Ready", "status": ready}]
            self.cluster.change(node, status={"conditions": conditions, "allocatable": {"nvidia.com/gpu": gpus}})

    @rule(pick=picks)
    def node_vanishes(self, pick: int) -> None:
        if (node := _pick(self.cluster.every(NODE), pick)) is not None:
            self.cluster.delete(node)

    # Knative, and the controller of StatefulSets.

    @rule(pick=picks, status=st.sampled_from(["True", "False", "Unknown"]))
    def a_carrier_reports(self, pick: int, status: str) -> None:
        if (carrier := _pick(self._carriers(), pick)) is not None:
            self._report(carrier, status)

    @rule(pick=picks, minutes=st.sampled_from([1, 20]))
    def nobody_asks_for_a_model(self, pick: int, minutes: int) -> None:
        if (revision := _pick(self.cluster.every(REVISION), pick)) is not None:
            self._activate(revision, "False")
            self.cluster.now += timedelta(minutes=minutes)

    @rule(pick=picks, active=st.sampled_from(["Unknown", "True"]))
    def somebody_asks_for_it(self, pick: int, active: str) -> None:
        if (revision := _pick(self.cluster.every(REVISION), pick)) is not None:
            self._activate(revision, active)

    # Strangers.

    @rule(pick=picks)
    def somebody_edits_a_carrier(self, pick: int) -> None:
        if (carrier := _pick(self._carriers(), pick)) is not None:
            spec = copy.deepcopy(carrier["spec"])
            spec["template"]["spec"]["containers"][0]["image"] = "somebody/else:1"
            self.cluster.change(carrier, spec=spec)

    @rule(pick=picks, kind=st.sampled_from([MACHINE, *CARRIERS, SERVICE]))
    def somebody_deletes(self, pick: int, kind: object) -> None:
        found = [obj for (of, _, _), obj in self.cluster.objects.items() if of == kind]
        if (obj := _pick(found, pick)) is not None:
            self.cluster.delete(obj)

    @rule()
    def garbage_is_collected(self) -> None:
        self.cluster.collect_garbage()

    # What holds at every moment.

    @invariant()
    def every_claim_is_the_one_of_a_slot(self) -> None:
        claims = {claim["metadata"]["name"] for claim in self.cluster.every(MACHINE)}
        assert claims <= {claim_name(uid, slot) for uid, count in self.slots.items() for slot in range(count)}

    def teardown(self) -> None:
        """When all else is calm, every Workspace becomes ready; when all are deleted, nothing is left."""
        for name in NAMES:
            workspace = self.cluster.get(WORKSPACE, name, "default")
            if workspace is not None:
                wishes = workspace["metadata"]["annotations"]
                if workspace["resource"]["count"] > 1 or wishes.get(BALANCED) == "True":
                    wishes.pop(TO_ZERO, None)  # which they cannot have
                    self.cluster.change(workspace)
            self._settles(name)
            if self.cluster.get(WORKSPACE, name, "default") is not None:
                services = {it["metadata"]["name"] for it in self.cluster.every(SERVICE, {"kaito.sh/workspace": name})}
                assert services == self._services(name)
                said = self._said(name)
                assert said["WorkspaceReady"].status == "True", said
                assert not self._plan(name).effects, "a second look at what is settled writes nothing"
                self.cluster.now += timedelta(hours=1)  # in which a model at zero gives back its nodes
                self._settles(name)
                assert self._said(name)["WorkspaceReady"].status == "True"
                assert self._plan(name) == Plan()
                (carrier,) = self._carriers(name)
                self._is_what_was_asked_for(name, carrier)
                assert carrier["spec"]["template"]["spec"]["containers"][0]["image"] == Settings().serving_image
        for name in NAMES:
            self.user_deletes(name)
            self._settles(name)
        assert self.cluster.every(WORKSPACE) == []
        assert self.cluster.every(MACHINE) == []
        assert self._carriers() == []
        assert self.cluster.every(SERVICE) == []
        assert self.cluster.every(CONTROLLER_REVISION) == []

    def _settles(self, name: str) -> None:
        """Everybody does their work, and the function is heard and not disturbed."""
        for _ in range(ROUNDS):
            there = self.cluster.get(WORKSPACE, name, "default") is not None
            plan = self.cluster.reconcile("default", name)
            if there and self.cluster.get(WORKSPACE, name, "default") is None:
                assert self._claims(name) == [], "the finalizer is there until all is gone"
            for claim in self._claims(name):
                if _going(claim):
                    self._clean_up(claim)
                else:
                    self._launch(claim, "launched")
            for node in self.cluster.every(NODE, {"apps": name}):
                if node["status"] != GOOD:
                    self.cluster.change(node, status=GOOD)
            for carrier in self._carriers(name):
                self._report(carrier, "True")
            self.cluster.collect_garbage()
            if not plan.effects and not self._plan(name).effects:
                return
        raise AssertionError(f"not settled after {ROUNDS} rounds: {[str(it) for it in self._plan(name).effects]}")

    def _does_not_lie(self, name: str) -> None:
        """Right after a whole turn: what the status says holds, and nothing of it is left from another time."""
        observed = self.cluster.observe("default", name)
        obj = observed.workspace
        if obj is None or _going(obj):
            return
        said = self._said(name)
        if said["ResourceReady"].reason == "Released":
            assert self._is_left_alone(observed)
            assert all(_going(claim) for claim in observed.claims)
            assert "workerNodes" not in obj["status"]
        elif said["ResourceReady"].status == "True":
            assert len(obj["status"]["workerNodes"]) == obj["resource"]["count"]
            for worker in obj["status"]["workerNodes"]:
                node = self.cluster.get(NODE, worker)
                assert node is not None
                assert node["metadata"]["labels"]["apps"] == name
                assert node["status"] == GOOD
        if said["InferenceReady"].status == "True":
            (carrier,) = self._carriers(name)
            if carrier["kind"] == STATEFUL_SET.kind:
                assert carrier["status"]["readyReplicas"] == obj["resource"]["count"]
            else:
                assert conditions_of(carrier)["Ready"].status == "True"
            assert carrier["status"]["observedGeneration"] == carrier["metadata"]["generation"]
            assert said["InferenceReady"].reason != "ScaledToZero" or self._is_left_alone(observed, minutes=0)
        parts = [it for kind, it in said.items() if kind not in ("WorkspaceReady", "WorkspaceSucceeded")]
        assert (said["WorkspaceReady"].status == "True") == all(part.status == "True" for part in parts)
        for condition in said.values():
            assert condition.reason
            assert condition.message
        forgetful = replace(observed, workspace={**obj, "status": {**obj["status"], "conditions": []}})
        anew = next(
            effect.object["status"]
            for effect in self.cluster.decide(forgetful).effects
            if isinstance(effect, Apply) and effect.subresource == "status"
        )
        decided = conditions_of({"status": anew})
        now = self._plan(name)
        if not any(isinstance(effect, Apply) and effect.subresource == "status" for effect in now.effects):
            assert {kind: _gist(it) for kind, it in said.items()} == {kind: _gist(it) for kind, it in decided.items()}

    def _announces_what_has_changed(self, name: str, seen: Observed, plan: Plan) -> None:
        """Right after a whole turn: just what its status said otherwise before, by names that any other turn of the
        same look gives it too."""
        events = announced(plan)
        said = {name.removeprefix("workspace.") for name in ends(events)}
        obj, after = seen.workspace, self.cluster.get(WORKSPACE, name, "default")
        old, new = (conditions_of(it or {}) for it in (obj, after))
        was, is_ = (it["WorkspaceReady"].status if "WorkspaceReady" in it else "" for it in (old, new))
        slept, sleeps = ("InferenceReady" in it and it["InferenceReady"].reason == AT_ZERO for it in (old, new))
        goes = obj is None or _going(obj)
        assert ("ready" in said) == (is_ == "True" != was)
        assert ("failed" in said) == (is_ == "False" != was and not goes)
        assert ("not-ready" in said) == (is_ == "Unknown" and was == "True")
        assert ("deleted" in said) == (obj is not None and after is None)
        assert ("scaled-to-zero" in said) == (sleeps and not slept)
        assert "scaled-from-zero" not in said or (slept and not sleeps)
        self.cluster.now += timedelta(seconds=1)
        again = announced(self.cluster.decide(seen))
        assert [event["id"] for event in again] == [event["id"] for event in events]

    def _is_left_alone(self, observed: Observed, minutes: int = 15) -> bool:
        """Is its model at zero, and has it been for so long?"""
        assert observed.routed is not None
        active = conditions_of(observed.routed)["Active"]
        since = parse_time(active.last_transition_time)
        return active.status == "False" and since + timedelta(minutes=minutes) <= self.cluster.now

    def _plan(self, name: str) -> Plan:
        return self.cluster.decide(self.cluster.observe("default", name))

    def _said(self, name: str) -> dict[str, Condition]:
        workspace = self.cluster.get(WORKSPACE, name, "default")
        assert workspace is not None
        return conditions_of(workspace)

    def _claims(self, name: str) -> list[Object]:
        return self.cluster.every(MACHINE, {"kaito.sh/workspace": name})

    def _launch(self, claim: Object, outcome: str) -> None:
        name = claim["metadata"]["name"]
        if outcome == "launched":
            conditions = [{"type": kind, "status": "True"} for kind in ("MachineLaunched", "Ready")]
            if claim.get("status") != {"nodeName": name, "conditions": conditions}:
                self.cluster.change(claim, status={"nodeName": name, "conditions": conditions})
            if self.cluster.get(NODE, name) is None:
                self.cluster.create(_node(name, claim["metadata"]["labels"]))
        else:
            failed = {"type": "MachineLaunched", "status": "False", "reason": outcome, "message": f"no {outcome}"}
            self.cluster.change(claim, status={"conditions": [failed]})

    def _clean_up(self, claim: Object) -> None:
        if (node := self.cluster.get(NODE, claim["metadata"]["name"])) is not None:
            self.cluster.delete(node)
        self.cluster.finalize(claim, [])

    def _is_what_was_asked_for(self, name: str, carrier: Object) -> None:
        """Now, and in its history."""
        workspace = self.cluster.get(WORKSPACE, name, "default")
        assert workspace is not None
        adapters = workspace["inference"].get("adapters") or []
        (container,) = carrier["spec"]["template"]["spec"]["containers"]
        flags = [flag.rpartition("=")[2] for flag in container["args"] if flag.startswith("--adapter=")]
        assert flags == [it["strength"] for it in adapters]
        uid = workspace["metadata"]["uid"]
        revisions = [
            it
            for it in self.cluster.every(CONTROLLER_REVISION, {"kaito.sh/workspace": name})
            if it["metadata"]["ownerReferences"][0]["uid"] == uid
        ]
        latest = max(revisions, key=lambda it: int(it["revision"]))
        assert latest["data"] == {field: workspace[field] for field in ("resource", "inference")}
        assert str(latest["revision"]) == workspace["metadata"]["annotations"]["workspace.kaito.io/revision"]
        assert len({it["revision"] for it in revisions}) == len(revisions) <= 4, "as many as there were wishes"

    def _services(self, name: str) -> set[str]:
        """Those that it has to have."""
        workspace = self.cluster.get(WORKSPACE, name, "default")
        assert workspace is not None
        if workspace["resource"]["count"] > 1:
            return {name, f"{name}-headless"}
        return {f"{name}-lb"} if workspace["metadata"]["annotations"].get(BALANCED) == "True" else set()

    def _carriers(self, name: str | None = None) -> list[Object]:
        found = [it for kind in CARRIERS for it in self.cluster.every(kind)]
        return [it for it in found if name in (None, it["metadata"]["name"])]

    def _report(self, carrier: Object, status: str) -> None:
        current = {"observedGeneration": carrier["metadata"]["generation"]}
        if carrier["kind"] == STATEFUL_SET.kind:
            wanted: Object = {**current, "readyReplicas": carrier["spec"]["replicas"] if status == "True" else 0}
        else:
            meta = carrier["metadata"]
            revision = f"{meta['name']}-{meta['generation']:05}"
            if self.cluster.get(REVISION, revision, "default") is None:
                owner = {"uid": meta["uid"], "controller": True}
                metadata = {"name": revision, "namespace": "default", "ownerReferences": [owner]}
                made = {"apiVersion": REVISION.api_version, "kind": REVISION.kind, "metadata": metadata}
                self._activate(self.cluster.create(made), "Unknown")
            condition = {"type": "Ready", "status": status, "reason": "R", "message": "m"}
            wanted = {**current, "conditions": [condition], "url": "http://host", "latestCreatedRevisionName": revision}
            if status == "True":
                wanted["latestReadyRevisionName"] = revision
        if carrier.get("status") != wanted:
            self.cluster.change(carrier, status=wanted)

    def _activate(self, revision: Object, active: str) -> None:
        before = conditions_of(revision).get("Active")
        if before is None or before.status != active:
            condition = {"type": "Active", "status": active, "lastTransitionTime": rfc3339(self.cluster.now)}
            self.cluster.change(revision, status={"conditions": [condition]})


def _node(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.kind,
        "metadata": {"name": name, "labels": {**labels, "node.kubernetes.io/instance-type": SKU}},
        "status": GOOD,
    }


def _pick(objects: list[Object], index: int) -> Object | None:
    return objects[index % len(objects)] if objects else None


def _going(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _gist(condition: Condition) -> tuple[str, str, str]:
    return condition.status, condition.reason, condition.message


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(
    max_examples=200, stateful_step_count=50, deadline=None, phases=set(Phase) - {Phase.explain}
)
