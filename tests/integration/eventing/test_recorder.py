"""The recorder as it runs: on both databases, with several at once, over its own death, and with secrets around."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, make_url, select

from eventing.recorder.database import MENTIONS, RECORDS
from eventing.recorder.reading import read
from eventing.recorder.store import Incomplete
from eventing.recordings.part import Part
from eventing.recordings.replay import Replay
from functions.workspace.observed import Observed
from kaito.api.resources import WORKSPACE
from kaito.cli.moving import exported as exported_from
from kaito.cli.recordings import EVERYTHING
from kaito.embedded.knative.pod import free_port
from kaito.runtime.keys import Key
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Plan
from kaito.runtime.recording import codec
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.recorder import Recorder as FunctionsRecorder
from kaito.runtime.recording.sinks import HttpSink
from tests import postgres
from tests.recorded import Kept
from tests.recorders import recorder, served
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW, config_map
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.workspace.scenes import machine, workspace

CANARY = "c4n4ry"
NO_POSTGRES = postgres.missing()
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(bool(NO_POSTGRES), reason=NO_POSTGRES))]


@pytest.fixture(scope="module")
def server() -> Iterator[URL]:
    with postgres.running() as url:
        yield url


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """With nothing in it."""
    if request.param == "sqlite":
        yield make_url(f"sqlite:///{tmp_path}/recordings.db")
        return
    url: URL = request.getfixturevalue("server")
    yield url
    with recorder(url) as it, it.engine.begin() as connection:
        MENTIONS.drop(connection)
        RECORDS.drop(connection)


def test_a_history_is_kept_and_each_part_of_it_decided_again(database: URL) -> None:
    sink = Kept()
    function = Told("kaito-workspace", sink)
    for _ in range(3):
        function.event(workspace(), Observed(workspace()), "add")
        function.event(machine(), Observed(workspace(), (machine(),)))
    function.close()
    with recorder(database) as it:
        for event in sink.kept:
            it.put([event], NOW)
        it.put(sink.kept, NOW)
        assert it.lines() == sink.kept
        for part in (Part(object="DEFAULT/phi"), Part(function="workspace"), Part(after=len(sink.kept) - 4)):
            found = it.recording(part)
            with Replay(found) as replay:
                again = [replay.decide(decision) for decision in found.decisions.values()]
            assert again
            assert all(each.same for each in again)
        assert not it.recording(Part(object="_efault/phi")).decisions, "no pattern, but a name's end"


def test_what_goes_leaves_what_can_be_replayed(database: URL) -> None:
    with recorder(database, retention=100, most=30_000) as it:
        for number in range(40):
            obj = config_map(f"o{number % 7}", str(number // 10))
            heard, decided = told.delivery(f"d{number}"), told.decision(f"c{number}", obj, because=(f"d{number}",))
            it.put([told.installation(), told.kept_object(obj), heard, decided], NOW + timedelta(seconds=number))
        found = it.recording()
        assert 5 < len(found.decisions) < 30
        assert list(found.decisions)[-1] == "c39"
        assert {codec.digest(obj) for obj in found.objects.values()} == set(found.objects)
        for decision in found.decisions.values():
            (child,) = decision.data["observed"]["children"]
            assert child["$object"] in found.objects
        with pytest.raises(Incomplete):
            it.put([told.decision("late", config_map("o0", "0"))], NOW + timedelta(seconds=40))
        cursor = read(it.engine, Part()).cursor
        it.put([], NOW + timedelta(seconds=500))
        assert it.lines() == []
        it.put([told.delivery("new")], NOW)
        assert it.lines(Part(after=cursor)) == [told.delivery("new")], "whoever waits for what comes is told"


def test_several_at_once_keep_all_of_it_and_who_follows_misses_nothing(database: URL) -> None:
    """Two recorders of one database, as while one takes the other's place."""
    seen, over = list[bytes](), threading.Event()
    with recorder(database) as one, recorder(database) as other, served(one) as url:

        def follow() -> None:
            part = Part()
            while True:
                last = over.is_set()
                found = httpx.get(f"{url}/records", params=part.query(), trust_env=False)
                seen.extend(found.content.splitlines(keepends=True))
                part = Part(after=int(found.headers["Kaito-Cursor"]))
                if last:
                    return

        def put(which: int) -> None:
            for number in range(25):
                recorder = (one, other)[which % 2]
                recorder.put([told.delivery(f"{which}-{number}-{place}") for place in range(4)], NOW)

        follower = threading.Thread(target=follow)
        follower.start()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(4)))
        over.set()
        follower.join(60)
        assert not follower.is_alive()
        lines = one.lines()
    assert len(lines) == 4 * 25 * 4
    assert seen == lines, "each once, and in the order in which they are kept"


@contextmanager
def process(folder: Path) -> Iterator[str]:
    """``python -m eventing.recorder`` with its files in the folder; at the block's end it is killed."""
    port = free_port()
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "KAITO_RECORDER_DATABASE": f"sqlite:///{folder}/recordings.db",
    }
    argv = [sys.executable, "-m", "eventing.recorder"]
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)
    url, deadline, never = f"http://127.0.0.1:{port}", time.monotonic() + 30, threading.Event()
    try:
        while not answers(url):
            assert started.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            never.wait(0.05)
        yield url
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    acknowledged, enough = list[str](), threading.Event()

    def put() -> None:
        """Until nobody answers any more."""
        for number in itertools.count():
            try:
                sink.put([told.delivery(f"{number}-{place}") for place in range(5)])
            except OSError:
                return
            acknowledged.append(str(number))
            if number == 20:
                enough.set()

    with process(tmp_path) as url:
        sink = HttpSink(f"{url}/")
        putter = threading.Thread(target=put)
        putter.start()
        assert enough.wait(30)
    sink.close()  # it does not wait for another try
    putter.join(30)
    with process(tmp_path) as url:
        kept = [json.loads(text)["id"] for text in httpx.get(f"{url}/records", trust_env=False).iter_lines()]
    assert len(acknowledged) > 20
    assert {f"{number}-{place}" for number in acknowledged for place in range(5)} <= set(kept)
    assert len(kept) == len(set(kept))
    assert len(kept) % 5 == 0, "of a batch all or nothing"


def test_who_follows_ends_it_with_ctrl_c(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from kaito.cli import main; main()", "events", "--follow", "-r"]
    with recorder(tmp_path) as it, served(it) as url:
        it.put([told.delivery("d"), told.answer("a", "d")], datetime.now(UTC))
        with subprocess.Popen([*argv, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline().endswith("update Workspace/default/phi: nothing new\n")
            follower.send_signal(signal.SIGINT)
            rest, errors = follower.communicate(timeout=30)
    assert (follower.returncode, rest, errors) == (0, "", "")


def test_a_canary_is_nowhere(tmp_path: Path) -> None:
    signed = f"https://example.com/a?sig={CANARY}"
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t", "Authorization": CANARY}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"x": CANARY}}
    seen = {
        **config_map("seen"),
        "env": [{"name": "HF_TOKEN", "value": CANARY}],
        "said": f"401: Authorization: Bearer {CANARY}",
    }
    with process(tmp_path) as url:
        function = FunctionsRecorder("f", "1", Installation.of({"KAITO_URL": signed}, {}), HttpSink(f"{url}/"))
        heard = function.delivery(headers, json.dumps(secret).encode())
        decided = function.decision(
            Key(WORKSPACE, "default", "phi"), [heard], Observed(seen), NOW, Plan((Apply(seen, signed),)), None
        )
        function.write(decided, 0, KubeError(422, "", f"no {signed}"), 0.1)
        function.answer(heard, 503, f"no {signed}", 1, 0.1)
        function.close()
        # What somebody else sends is nowhere either: nobody has left its secrets out.
        plain = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": CANARY}
        structured = {"Content-Type": "application/cloudevents+json"}
        refused = httpx.post(url, headers=structured, json=plain, trust_env=False)
        assert refused.status_code == 400
        exported = b"".join(exported_from([url], tmp_path, EVERYTHING))
    kinds = [json.loads(text)["type"].rpartition(".")[2] for text in exported.splitlines()]
    assert kinds == ["installation", "delivery", "object", "decision", "write", "answer"]
    with recorder(tmp_path) as it, it.engine.connect() as connection:
        rows = connection.execute(select(RECORDS)).all()
        everything = b"".join(zlib.decompress(row.line) + repr(row).encode() for row in rows)
    assert len(rows) == len(kinds)
    log = (tmp_path / "log").read_bytes()
    assert b"refused" in log
    assert CANARY.encode() not in exported + everything + log + refused.content
