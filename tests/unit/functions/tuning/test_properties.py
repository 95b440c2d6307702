"""Random histories of one Workspace that tunes: both functions write its status, and whatever happens, in the end one
Job has tuned it, its status says so, and nobody writes any more."""

from __future__ import annotations

import copy

import hypothesis.strategies as st
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from functions.tuning.observed import Observed
from functions.tuning.render import DIGEST
from functions.tuning.status import NAME
from functions.workspace.observed import Observed as Around
from kaito.api.conditions import conditions_of
from kaito.api.resources import CONFIG_MAP, JOB, MACHINE, NODE, POD, WORKSPACE, Object
from kaito.runtime.plan import Apply, Plan
from tests.unit.functions.tuning.matrix import made
from tests.unit.functions.tuning.scenes import COMPLETE, FAILED, LORA, PUSHED, RUNNING, ended, pod, workspace
from tests.unit.functions.tuning.world import MANAGERS, World

ROUNDS = 30
functions = st.sampled_from(MANAGERS)
picks = st.integers(0, 3)
SKU = "Standard_D4s_v5"
#: What else a Workspace may ask for, and what its ConfigMap may say.
WISHES = ("https://example.com/a.jsonl", "https://example.com/b.jsonl")
TEXTS = (LORA, LORA.replace("r: 8", "r: 4"))
BROKEN = "training_config: []"
STATES = (RUNNING, PUSHED, ended(1, "line broke"), ended(137, reason="OOMKilled"))


class Histories(RuleBasedStateMachine):
    """A user, nodes, the Job's controller and strangers; both functions, late, twice, by old looks and cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.hears = dict.fromkeys(MANAGERS, True)
        self.old: dict[str, Observed | Around] = {}

    @initialize(settled=st.booleans())
    def first(self, settled: bool) -> None:
        self.user_creates()
        if settled:
            self._settles()

    # The user.

    @rule()
    def user_creates(self) -> None:
        if self._workspace() is None:
            obj = workspace(SKU)
            del obj["status"]
            obj["metadata"] = {"name": "poems", "namespace": "default", "annotations": {}}
            self.world.create(obj)

    @rule()
    def user_deletes(self) -> None:
        if (obj := self._workspace()) is not None:
            self.world.delete(obj)

    @rule(url=st.sampled_from(WISHES))
    def user_wishes(self, url: str) -> None:
        if (obj := self._workspace()) is not None:
            self.world.change(obj, tuning={**obj["tuning"], "input": {"urls": [url]}})

    @rule(text=st.sampled_from([*TEXTS, BROKEN]))
    def user_changes_the_config(self, text: str) -> None:
        if (found := self.world.get(CONFIG_MAP, "lora-params-template", "default")) is not None:
            self.world.change(found, data={"training_config.yaml": text})

    # The functions: told of everything, until events are lost; cut short anywhere, and by an old look.

    @invariant()
    def they_run_where_they_hear(self) -> None:
        for manager, hears in self.hears.items():
            if hears:
                self.world.turn(manager)
                self._does_not_lie(manager)

    @rule(manager=functions, hears=st.booleans())
    def events_are_lost_for_a_while(self, manager: str, hears: bool) -> None:
        self.hears[manager] = hears

    @rule(manager=functions, writes=st.integers(0, 3))
    def one_is_cut_short(self, manager: str, writes: int) -> None:
        self.world.turn(manager, writes=writes)

    @rule(manager=functions)
    def another_replica_looks(self, manager: str) -> None:
        self.old[manager] = self.world.look(manager)

    @precondition(lambda self: self.old)
    @rule(manager=functions)
    def another_replica_writes(self, manager: str) -> None:
        if (seen := self.old.pop(manager, None)) is not None:
            self.world.turn(manager, seen=seen)

    # Nodes, the Job's controller, strangers.

    @rule(ready=st.booleans())
    def a_node_comes_or_is_lost(self, ready: bool) -> None:
        for claim in self.world.every(MACHINE):
            self._launch(claim)
        for node in self.world.every(NODE):
            status = "True" if ready else "False"
            self.world.change(node, status={"conditions": [{"type": "Ready", "status": status}]})

    @rule(pick=picks, phase=st.sampled_from(["Pending", "Failed"]))
    def a_pod_reports(self, pick: int, phase: str) -> None:
        for job in self.world.every(JOB):
            self._run(job, STATES[pick], phase)

    @rule(condition=st.sampled_from([COMPLETE, FAILED]))
    def a_job_ends(self, condition: Object) -> None:
        for job in self.world.every(JOB):
            if not _ends(job):
                self.world.change(job, status={"conditions": [condition]})

    @rule(kind=st.sampled_from([JOB, POD, MACHINE, NODE, CONFIG_MAP]))
    def somebody_deletes(self, kind: object) -> None:
        for (of, _, _), obj in list(self.world.objects.items()):
            if of == kind:
                self.world.delete(obj)

    @rule()
    def somebody_edits_the_jobs_mark(self) -> None:
        for job in self.world.every(JOB):
            self.world.change(job, metadata={**job["metadata"], "annotations": {}})

    @rule()
    def garbage_is_collected(self) -> None:
        self.world.collect_garbage()

    # What holds at every moment.

    @invariant()
    def there_is_one_job_at_most(self) -> None:
        assert len(self.world.every(JOB)) <= 1

    def teardown(self) -> None:
        """When all else is calm, the Workspace is tuned, and both are silent; when it is deleted, nothing is left."""
        self.user_changes_the_config(LORA)
        for job in self.world.every(JOB):
            if _ends(job) == [FAILED]:
                self.world.delete(job)
        self._settles()
        obj = self._workspace()
        if obj is not None:
            wanted = made({**obj, "status": {}})["metadata"]["annotations"][DIGEST]
            assert obj["status"]["tuning"]["asked"] == wanted
            # None where somebody has cleared it away when it was done.
            assert [job["metadata"]["annotations"][DIGEST] for job in self.world.every(JOB)] in ([wanted], [])
            said = conditions_of(obj)
            assert sorted(said) == sorted(
                ("MachineReady", "ResourceReady", "JobStarted", "WorkspaceReady", "WorkspaceSucceeded")
            )
            assert {it.status for it in said.values()} == {"True"}, said
            assert obj["status"]["state"] == "Succeeded"
            assert len(obj["status"]["workerNodes"]) == 1
            for manager in MANAGERS:
                assert self.world.plan(manager) == Plan(), "a second look at what is settled writes nothing"
        self.user_deletes()
        self._settles()
        left = {kind for kind, _, _ in self.world.objects}
        assert left.isdisjoint((WORKSPACE, MACHINE, JOB, POD)), left

    def _settles(self) -> None:
        """Everybody does their work, and both functions are heard and not disturbed."""
        for _ in range(ROUNDS):
            plans = [self.world.turn(manager) for manager in MANAGERS]
            for claim in self.world.every(MACHINE):
                if claim["metadata"].get("deletionTimestamp"):
                    self.world.finalize(claim, [])
                else:
                    self._launch(claim)
            for node in self.world.every(NODE):
                self._report(node)
            for job in self.world.every(JOB):
                if not _ends(job):
                    self._run(job, PUSHED, "Succeeded")
                    self.world.change(job, status={"conditions": [COMPLETE]})
            self.world.collect_garbage()
            if not any(plan.effects for plan in (*plans, *map(self.world.plan, MANAGERS))):
                return
        raise AssertionError([str(it) for manager in MANAGERS for it in self.world.plan(manager).effects])

    def _does_not_lie(self, manager: str) -> None:
        """Right after its turn it has nothing more to say."""
        obj = self._workspace()
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        again = [it for it in self.world.plan(manager).effects if isinstance(it, Apply) and it.subresource]
        jobs, said = self.world.every(JOB), conditions_of(obj)
        if manager == NAME and said["WorkspaceReady"].status == "True":
            assert [_ends(job) for job in jobs] in ([[COMPLETE]], []) or again
            assert obj["status"]["tuning"]["asked"]
        if manager != NAME:
            assert again == []
            nodes = [node for node in self.world.every(NODE) if conditions_of(node)["Ready"].status == "True"]
            assert (said["ResourceReady"].status == "True") == bool(nodes)

    def _workspace(self) -> Object | None:
        return self.world.get(WORKSPACE, "poems", "default")

    def _launch(self, claim: Object) -> None:
        name = claim["metadata"]["name"]
        conditions = [{"type": kind, "status": "True"} for kind in ("MachineLaunched", "Ready")]
        if claim.get("status") != {"nodeName": name, "conditions": conditions}:
            self.world.change(claim, status={"nodeName": name, "conditions": conditions})
        if self.world.get(NODE, name) is None:
            labels = {**claim["metadata"]["labels"], "node.kubernetes.io/instance-type": SKU}
            metadata = {"name": name, "labels": labels}
            self._report(self.world.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata}))

    def _report(self, node: Object) -> None:
        good = {"conditions": [{"type": "Ready", "status": "True"}]}
        if node.get("status") != good:
            self.world.change(node, status=good)

    def _run(self, job: Object, state: Object, phase: str) -> None:
        """Its controller makes a pod where there is none that counts, and the kubelet reports of that."""
        uid = job["metadata"]["uid"]
        reported = pod(state, owner=uid, name=f"poems-{uid}", phase=phase, containers=("train",), podIP=None)
        reported["metadata"]["labels"] = job["metadata"]["labels"]
        found = self.world.get(POD, f"poems-{uid}", "default")
        if found is None:
            self.world.create(reported)
        elif found["status"] != reported["status"]:
            self.world.change(found, status=copy.deepcopy(reported["status"]))


def _ends(job: Object) -> list[Object]:
    """What its controller says came of it."""
    conditions: list[Object] = job.get("status", {}).get("conditions", [])
    return conditions


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=30, deadline=None, phases=set(Phase) - {Phase.explain}
)
