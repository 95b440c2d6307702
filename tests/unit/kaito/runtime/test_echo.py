"""Which events tell a function nothing: just those whose object is, to the last field, what is known of it."""

from __future__ import annotations

import copy

import pytest

from kaito.api.resources import WORKSPACE, Kind, Object
from kaito.runtime.echo import Echoes, content
from kaito.runtime.keys import Key
from kaito.runtime.plan import Apply, Mark, Plan

KEY = Key(WORKSPACE, "default", "phi")
SEEN: Object = {
    "apiVersion": "kaito.sh/v1alpha1",
    "kind": "Workspace",
    "metadata": {"name": "phi", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 1},
    "resource": {"count": 1},
}
STATUS: Object = {"conditions": [{"type": "Ready", "status": "True"}]}
NODE: Object = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]},
}
HEAD = {**SEEN, "metadata": {"name": "phi", "namespace": "default", "uid": "u"}}
PLAN = Plan(
    (
        Mark(SEEN, ("ours",), "why"),
        Apply({**SEEN, "kind": "Service", "metadata": {"name": "phi"}}, "why"),
        Apply({**HEAD, "status": STATUS}, "why", subresource="status"),
    )
)


def state(*, finalizers: bool = False, status: bool = False, version: str = "2") -> Object:
    """The object some writes later."""
    obj = copy.deepcopy(SEEN)
    obj["metadata"] |= {"resourceVersion": version, "managedFields": [{"manager": "kaito-workspace"}]}
    if finalizers:
        obj["metadata"]["finalizers"] = ["ours"]
    if status:
        obj["status"] = STATUS
    return obj


def tells_nothing(echoes: Echoes, key: Key, obj: Object) -> bool:
    return echoes.tell_nothing(key, [content(obj)])


@pytest.fixture
def echoes() -> Echoes:
    echoes = Echoes()
    echoes.note(KEY, SEEN, [NODE], PLAN)
    return echoes


@pytest.mark.parametrize(("finalizers", "status"), [(False, False), (True, False), (True, True)])
def test_what_was_observed_and_what_was_written_tell_nothing(echoes: Echoes, finalizers: bool, status: bool) -> None:
    assert tells_nothing(echoes, KEY, state(finalizers=finalizers, status=status))


def test_our_write_with_somebody_elses_in_it_tells_something(echoes: Echoes) -> None:
    both = state(finalizers=True, status=True)
    both["metadata"]["annotations"] = {"kaito.sh/scale-to-zero": "true"}
    assert not tells_nothing(echoes, KEY, both)
    other = state(finalizers=True, status=True)
    other["resource"] = {"count": 2}
    assert not tells_nothing(echoes, KEY, other)


def test_a_status_that_somebody_changed_tells_something(echoes: Echoes) -> None:
    changed = state(finalizers=True, status=True)
    changed["status"] = {"conditions": []}
    assert not tells_nothing(echoes, KEY, changed)


def test_its_deletion_and_its_successor_tell_something(echoes: Echoes) -> None:
    going = state(finalizers=True, status=True)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not tells_nothing(echoes, KEY, going)
    successor = state()
    successor["metadata"]["uid"] = "another"
    assert not tells_nothing(echoes, KEY, successor)


def test_one_that_tells_something_is_enough(echoes: Echoes) -> None:
    assert echoes.tell_nothing(KEY, [content(state()), content(state(finalizers=True))])
    assert not echoes.tell_nothing(KEY, [content(state()), None])
    assert not echoes.tell_nothing(KEY, [content(state()), content({})])


def heartbeat(status: str) -> Object:
    node = copy.deepcopy(NODE)
    node["metadata"]["resourceVersion"] = "9"
    node["status"]["conditions"][0] |= {"status": status, "lastHeartbeatTime": "2026-01-01T00:05:00Z"}
    return node


def test_a_child_as_it_was_read_tells_nothing_whenever_it_says_so(echoes: Echoes) -> None:
    assert tells_nothing(echoes, KEY, heartbeat("True"))
    assert not tells_nothing(echoes, KEY, heartbeat("False"))


def test_who_has_read_an_object_is_known(echoes: Echoes) -> None:
    assert echoes.readers(Kind("v1", "Node"), "", "n") == (KEY,)
    assert echoes.readers(Kind("v1", "Node"), "", "other") == ()
    echoes.note(KEY, SEEN, (), Plan())
    assert echoes.readers(Kind("v1", "Node"), "", "n") == ()


def test_nothing_is_known_of_others_nor_after_a_failure(echoes: Echoes) -> None:
    assert not tells_nothing(echoes, Key(WORKSPACE, "default", "psi"), state())
    echoes.forget(KEY)
    assert not tells_nothing(echoes, KEY, state())
    echoes.note(KEY, SEEN, (), Plan())
    assert tells_nothing(echoes, KEY, state())
    echoes.note(KEY, None, (), Plan())
    assert not tells_nothing(echoes, KEY, state())


class TestBeside:
    """Our write of a status that another function writes too."""

    def seen(self) -> Object:
        ours, theirs, nobodys = ({"type": it, "status": "False"} for it in ("Ready", "Tuned", "Old"))
        return {**SEEN, "status": {"step": 1, "url": "of before", "conditions": [ours, theirs, nobodys]}}

    def after(self, **fields: object) -> Object:
        """As the API server has it then."""
        conditions = [{"type": "Tuned", "status": "False"}, *STATUS["conditions"]]
        return {**SEEN, "status": {"step": 1, "conditions": conditions, **fields}}

    @pytest.fixture
    def echoes(self) -> Echoes:
        echoes = Echoes()
        write = Apply(PLAN.effects[2].object, "why", "status", beside=frozenset(["step", "Tuned"]))  # type: ignore[union-attr]
        echoes.note(KEY, self.seen(), (), Plan((write,)))
        return echoes

    def test_it_tells_nothing_with_what_is_others_as_it_was(self, echoes: Echoes) -> None:
        assert tells_nothing(echoes, KEY, self.after())

    def test_what_the_other_says_then_tells_something(self, echoes: Echoes) -> None:
        assert not tells_nothing(echoes, KEY, self.after(step=2))
        assert not tells_nothing(echoes, KEY, self.after(conditions=STATUS["conditions"]))

    def test_what_is_nobodys_is_gone_with_it(self, echoes: Echoes) -> None:
        assert not tells_nothing(echoes, KEY, self.after(url="of before"))
