"""Whatever changes, fails and crashes, in any order: what the sink has been told is what has happened."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from eventing.source.ledger import Ledger
from eventing.source.spool import Spool, Waiting
from eventing.source.store import Store
from kaito.runtime.kube import WatchEvent

NAMES = st.sampled_from(["a", "b"])
#: How many of the changes that it has not heard of yet a watch tells now.
HEARD = st.sampled_from([0, 1, 9])


@dataclass(frozen=True, slots=True)
class Word:
    """What the sink was told."""

    verb: str
    name: str
    uid: str
    version: int
    id: str


class Crash(Exception):
    """The process ends here."""


class FragileStore(Store):
    """Crashes before the statement that is so many away, in the middle of its transaction."""

    left: int | None = None

    def execute(self, sql: str, *parameters: Any) -> Any:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash
        return super().execute(sql, *parameters)


class Source(RuleBasedStateMachine):
    """A cluster of Nodes, a source that follows it, and a sink; the threads' steps are taken here, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.version, self.now = 0, 0.0
        self.nodes: dict[str, tuple[str, int]] = {}
        self.history: list[WatchEvent] = []
        self.heard, self.written = 0, set[str]()
        self.told: list[Word] = []
        self.acknowledged: dict[str, int] = {}
        self.under_way: list[Waiting] = []
        self.start()

    def teardown(self) -> None:
        self.everything_is_sent()
        self.store.close()
        self.directory.cleanup()
        self.told_in_order()
        self.nothing_was_told_after_it_was_acknowledged()
        self.the_last_word_is_the_last_state()
        self.whatever_is_gone_had_its_delete()

    # The cluster.

    def node(self, name: str, uid: str) -> dict[str, Any]:
        metadata = {"name": name, "uid": uid, "resourceVersion": str(self.version)}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}

    def happens(self, kind: str, name: str, uid: str) -> None:
        self.version += 1
        self.history.append(WatchEvent(kind, self.node(name, uid)))

    @rule(name=NAMES, count=HEARD)
    def apply(self, name: str, count: int) -> None:
        uid, _ = self.nodes.get(name, (f"{name}-{self.version}", 0))
        self.happens("MODIFIED" if name in self.nodes else "ADDED", name, uid)
        self.nodes[name] = uid, self.version
        self.watches(count)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data(), count=HEARD)
    def delete(self, data: st.DataObject, count: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        uid, _ = self.nodes.pop(name)
        self.happens("DELETED", name, uid)
        self.watches(count)

    # The source: what a reflector does.

    def start(self) -> None:
        self.store = FragileStore(Path(self.directory.name))
        self.store.keep_only(["nodes"])
        self.spool = Spool(self.store, lambda: self.now, most=1 << 20)
        self.ledger = Ledger("nodes", "Resource", self.store, self.spool, lambda: None)
        self.under_way = []
        self.lists()

    def lists(self) -> None:
        objects = []
        for name, (uid, version) in self.nodes.items():
            obj = self.node(name, uid)
            obj["metadata"]["resourceVersion"] = str(version)
            objects.append(obj)
        self.ledger.replace(objects)
        self.heard = len(self.history)
        self.written |= {uid for uid, _ in self.nodes.values()}

    @rule()
    def watch_is_gone(self) -> None:
        self.lists()

    def watches(self, count: int) -> None:
        for event in self.history[self.heard : self.heard + count]:
            self.ledger.take(event)
            self.heard += 1
            self.written.add(event.object["metadata"]["uid"])

    @rule()
    def resyncs(self) -> None:
        self.ledger.resync()

    # The source: what its senders do.

    @precondition(lambda self: self.spool.waiting() > len(self.under_way))
    @rule()
    def takes(self) -> None:
        if waiting := self.spool.next([it.place for it in self.under_way]):
            self.under_way.append(waiting)

    def reaches_the_sink(self, waiting: Waiting) -> None:
        metadata = waiting.change.object["metadata"]
        word = Word(
            waiting.change.verb, metadata["name"], metadata["uid"], int(metadata["resourceVersion"]), waiting.id
        )
        self.told.append(word)

    def is_acknowledged(self, waiting: Waiting) -> None:
        self.reaches_the_sink(waiting)
        self.spool.sent(waiting)
        self.acknowledged[waiting.id] = len(self.told)

    def first_is_acknowledged(self) -> None:
        if self.under_way:
            self.is_acknowledged(self.under_way.pop(0))

    def is_not_answered(self, waiting: Waiting) -> None:
        self.reaches_the_sink(waiting)
        self.is_lost(waiting)

    def is_lost(self, waiting: Waiting) -> None:
        self.spool.failed(waiting, self.now + 1)

    def crashes_before_it_writes_that_down(self, waiting: Waiting) -> None:
        self.reaches_the_sink(waiting)
        self.crashes()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def sends(self, data: st.DataObject) -> None:
        waiting = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        outcomes: list[Callable[[Waiting], None]] = [
            self.is_acknowledged,
            self.is_not_answered,
            self.is_lost,
            self.crashes_before_it_writes_that_down,
        ]
        data.draw(st.sampled_from(outcomes))(waiting)

    # What goes wrong, and time.

    def crashes(self) -> None:
        self.store.close()
        self.start()

    @rule(left=st.integers(0, 4), work=st.sampled_from(["watches", "lists", "resyncs", "acknowledges"]))
    def crashes_in_the_middle(self, left: int, work: str) -> None:
        self.store.left = left
        works: dict[str, Callable[[], Any]] = {
            "watches": lambda: self.watches(9),
            "lists": self.lists,
            "resyncs": self.resyncs,
            "acknowledges": self.first_is_acknowledged,
        }
        try:
            works[work]()
        except Crash:
            self.crashes()
        self.store.left = None

    @rule()
    def time_passes(self) -> None:
        self.now += 1

    # What is promised.

    def everything_is_sent(self) -> None:
        self.under_way = []
        self.watches(len(self.history))
        while self.spool.waiting():
            self.now += 1
            if waiting := self.spool.next([]):
                self.is_acknowledged(waiting)

    def of(self, name: str) -> list[Word]:
        return [word for word in self.told if word.name == name]

    def told_in_order(self) -> None:
        for name in "ab":
            words = self.of(name)
            versions = [word.version for word in words]
            assert versions == sorted(versions), words
            for uid in {word.uid for word in words}:
                verbs = [word.verb for word in words if word.uid == uid]
                assert verbs[0] != "update", words
                assert "delete" not in verbs or set(verbs[verbs.index("delete") :]) == {"delete"}, words

    def nothing_was_told_after_it_was_acknowledged(self) -> None:
        for id_, told in self.acknowledged.items():
            assert id_ not in {word.id for word in self.told[told:]}, self.told
            last = self.told[told - 1]
            if last.verb != "delete":  # An object that the sink knows is not new to it.
                verbs = {word.verb for word in self.told[told:] if word.uid == last.uid}
                assert "add" not in verbs, self.told

    def the_last_word_is_the_last_state(self) -> None:
        for name in "ab":
            if name in self.nodes:
                last = self.of(name)[-1]
                assert ((last.uid, last.version), last.verb != "delete") == (self.nodes[name], True), self.told
            elif self.of(name):
                assert self.of(name)[-1].verb == "delete", self.told

    def whatever_is_gone_had_its_delete(self) -> None:
        gone = self.written - {uid for uid, _ in self.nodes.values()}
        assert gone <= {word.uid for word in self.told if word.verb == "delete"}, self.told


Source.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_whatever_happens = Source.TestCase
