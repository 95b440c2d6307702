"""What is shown, as the cluster and the recording change."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from console.console import Console
from eventing.recordings.part import Part
from eventing.recordings.recording import Record, RecordingError
from eventing.recordings.sources import Files
from kaito.runtime.kube import WatchEvent
from tests.unit.console.world import Watching, cluster, workspace
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recordings import scenes


def test_a_cluster_that_changes() -> None:
    watch = Watching()
    console = Console([], cluster(workspace("phi"), watch=watch))
    stream = console.feed.stream("", console.touch)
    assert "reset" in next(itertools.islice(stream, 1, None))
    console.start()
    try:
        assert "reset" in next(stream), "it is listed"
        watch.said.put(WatchEvent("MODIFIED", workspace("phi", url="http://x", version="2")))
        assert '"chats":true' in next(stream)
        watch.said.put(WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "3"}}))
        watch.said.put(WatchEvent("DELETED", workspace("phi", url="http://x", version="4")))
        assert '"gone":true' in next(stream)
        assert console.workspaces() == []
        assert console.live("default/phi") is None
    finally:
        console.stop()


def test_what_the_cluster_no_longer_has_is_known_from_the_recording(tmp_path: Path) -> None:
    console = Console([Files([scenes.history().write(tmp_path / "a.ndjson")])], cluster(workspace("other")))
    console.look()
    console.replace([workspace("other")])
    first, *others = [(it["key"], it["gone"]) for it in console.workspaces()]
    assert first == ("default/other", False)
    assert ("default/phi", True) in others
    moment = console.moment("default/phi")
    assert moment is not None
    assert (moment["workspace"]["gone"], moment["workspace"]["chats"]) == (True, False)


def test_a_recording_that_grows_tells_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(told.delivery("d1"))
    console = Console([Files([file])])
    console.look()
    stream = console.feed.stream("", console.touch)
    assert "reset" in next(itertools.islice(stream, 1, None))
    with file.open("ab") as more:
        more.write(told.delivery("d2"))
    console.look()
    assert [it["name"] for it in json.loads(next(stream).partition("data: ")[2])["rows"]] == ["d2"]
    with file.open("ab") as more:
        more.writelines(told.delivery(f"e{it}") for it in range(200))
    console.look()
    assert "event: reset" in next(stream), "of so many nobody is told one by one"


class Broken:
    """A recorder that is away at first."""

    def __init__(self) -> None:
        self.asked = 0

    def read(self, part: Part) -> Iterator[tuple[bytes, Record]]:
        raise NotImplementedError

    def new(self, part: Part) -> Iterator[Record]:
        self.asked += 1
        if self.asked == 1:
            raise RecordingError("nobody answers")
        return iter(())


def test_a_recorder_that_is_away_is_said_until_it_is_back() -> None:
    console = Console([Broken()])
    stream = console.feed.stream("", console.touch)
    next(itertools.islice(stream, 1, None))
    console.start()
    try:
        said = [next(stream) for _ in range(2)]
    finally:
        console.stop()
    assert ['{"trouble":"nobody answers"}' in said[0], '{"trouble":""}' in said[1]] == [True, True]


def test_a_recorder_that_nobody_looks_at_is_left_alone() -> None:
    source = Broken()
    console = Console([source], idle=0)
    console.start()
    console.stop()
    assert source.asked == 0
