"""A platform that runs is recorded; what was recorded is shown, and decided again."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from console.console import Console
from eventing.recordings.sources import Files
from kaito.cli.console import served
from kaito.embedded.platform import Platform
from kaito.embedded.recordings import FOLDER
from tests.e2e.conftest import User, example, until
from tests.questions import QUESTION, streamed

CANARY = "c4n4ry"
#: A pod template of somebody's own, with a secret in it that should be somewhere else.
TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "it",
                "image": "example.com/it:1",
                "env": [{"name": "HF_TOKEN", "value": CANARY}],
                "args": [f"--url=https://example.com/a?sig={CANARY}"],
            }
        ]
    }
}


@pytest.fixture
def recording(platform: Platform) -> Path:
    return platform.directory / FOLDER


def settled(user: User, recording: Path, name: str) -> list[dict[str, object]]:
    """The lines about that Workspace, once each that was told has an answer."""

    def look() -> list[dict[str, object]] | None:
        done = user.kaito("events", "-r", str(recording), "--object", f"default/{name}", "-o", "json")
        assert done.returncode == 0, done.stderr
        lines: list[dict[str, object]] = json.loads(done.stdout)
        return lines if lines and all(it["status"] for it in lines if it["event"]) else None

    return until(look)


def test_what_happened_is_shown_and_decided_again(user: User, platform: Platform, recording: Path) -> None:
    name = user.apply("smollm2")
    user.wait_for(name, "WorkspaceReady")
    lines = settled(user, recording, name)
    assert {it["function"] for it in lines} >= {"kaito-workspace"}
    first = next(it for it in lines if it["decisions"] and it["function"] == "kaito-workspace")
    event = first["event"]
    assert isinstance(event, dict)
    shown = user.kaito("events", "show", "-r", str(recording), event["id"])
    assert shown.returncode == 0, shown.stderr
    assert "decided: apply Machine" in shown.stdout
    assert "written in" in shown.stdout

    again = user.kaito("replay", str(recording))
    assert again.returncode == 0, again.stdout
    assert again.stdout.splitlines()[-1].endswith("decisions, the same today")
    chosen = user.kaito("replay", str(recording), "--event", str(event["id"]))
    assert chosen.stdout == "1 decision, the same today\n"
    watched(platform, recording, name)


def watched(platform: Platform, recording: Path, name: str) -> None:
    """The console shows the same, and asks the model."""
    console = Console([Files([recording])], platform.kube)
    console.look()
    with served(console) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        of = f"api/workspaces/default/{name}"
        moment = until(lambda: (found := client.get(of)).status_code == 200 and found.json())
        stages = [it["name"] for it in moment["timeline"]]
        assert (stages[:2], stages[-1]) == (["nodes", "pod"], "ready")
        assert (moment["workspace"]["ready"], moment["workspace"]["chats"]) == ("True", True)
        rows = client.get("api/rows", params={"workspace": f"default/{name}"}).json()["rows"]
        assert {it["function"] for it in rows} == {"workspace", "provisioner"}
        stories = [client.get(f"api/rows/{it['name']}").json()["story"] for it in rows]
        assert any("decided: apply Service" in it for it in stories)
        answer = client.post(f"{of}/chat", json={"messages": [{"role": "user", "content": QUESTION}]})
        assert "Paris" in streamed(answer.text)


def test_no_secret_is_in_it(user: User, recording: Path) -> None:
    obj = example("smollm2")
    obj["metadata"]["name"] = "secretive"
    obj["resource"]["labelSelector"]["matchLabels"]["apps"] = "secretive"
    obj["inference"] = {"template": TEMPLATE}
    done = user.kubectl("apply", "-f", "-", stdin=json.dumps(obj))
    assert done.returncode == 0, done.stderr
    until(lambda: "secretive" in user.kubectl("get", "ksvc", "-o", "name").stdout)
    settled(user, recording, "secretive")
    text = "".join(file.read_text() for file in recording.iterdir())
    assert "secretive" in text
    assert CANARY not in text
    assert CANARY in user.kubectl("get", "ksvc", "secretive", "-o", "yaml").stdout, "it is where it is needed"
    again = user.kaito("replay", str(recording))
    assert again.returncode == 0, again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("events", "-r", "/nowhere.ndjson"), "/nowhere.ndjson cannot be read: No such file or directory"),
        (("replay", "/nowhere.ndjson"), "/nowhere.ndjson cannot be read"),
        (("replay", "--dir", "/nowhere"), "/nowhere has no recording: name one, or run `kaito up` there"),
    ],
)
def test_what_is_no_recording_is_said(user: User, words: tuple[str, ...], said: str) -> None:
    done = user.kaito(*words)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_event_that_is_not_there(user: User, recording: Path) -> None:
    name = user.apply("smollm2")
    settled(user, recording, name)
    done = user.kaito("events", "show", "-r", str(recording), "nothing")
    assert done.returncode == 1
    assert "there is no event nothing in the recording: `kaito events` lists them" in done.stderr
