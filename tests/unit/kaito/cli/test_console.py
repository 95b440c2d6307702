"""What `kaito console` shows, and what it says where there is nothing to be shown."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from console.console import Console
from eventing.recordings.recording import RecordingError
from eventing.recordings.sources import Files
from kaito.cli.console import opened, served
from kaito.embedded.lock import locked
from kaito.embedded.recordings import FOLDER
from tests.unit.eventing.recordings import scenes

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: it, user: {}}]
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    return scenes.history().write(tmp_path / FOLDER / "a.ndjson")


@pytest.mark.parametrize("folders", [(), (FOLDER,)])
def test_nothing_to_be_shown(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(RecordingError, match=r"no platform runs in .*start one with `kaito up`, or name a recording"):
        opened((), None, tmp_path)


def test_what_is_no_recording_is_said_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        opened([str(tmp_path / "none.ndjson")], None, tmp_path)
    (tmp_path / "x").write_text("nothing\n")
    with pytest.raises(RecordingError, match="line 1"):
        opened([str(tmp_path / "x")], None, tmp_path)


def test_a_recording_alone(recording: Path, tmp_path: Path) -> None:
    shown, what = opened([str(recording)], None, tmp_path)
    assert (shown.reflector, what) == (None, f"what {recording} has")
    assert shown.state()["read"]


def test_a_platform_that_was_and_one_that_is(recording: Path, tmp_path: Path) -> None:
    shown, what = opened((), None, tmp_path)
    assert shown.reflector is None
    assert "does not run now" in what
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with locked(tmp_path / "lock", lambda held: pytest.fail(str(held))):
        shown, what = opened((), None, tmp_path)
    assert shown.reflector is not None
    assert what == f"the platform in {tmp_path}"


def test_a_cluster_with_a_recording_of_it_and_without(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    for named, count in (([], 0), ([str(recording)], 1)):
        shown, what = opened(named, tmp_path / "config", tmp_path)
        assert shown.reflector is not None
        assert len(shown.sources) == count
        assert what == f"the cluster of {tmp_path / 'config'}"


def test_it_is_served_to_this_machine_alone(recording: Path) -> None:
    with served(Console([Files([recording])])) as url:
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(url, trust_env=False).status_code == 200
        refused = httpx.get(url, headers={"Host": "evil.example"}, trust_env=False)
        assert refused.status_code == 421
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(RecordingError, match=f"port {port} is taken: choose another --port"),
            served(Console([]), port),
        ):
            pass
