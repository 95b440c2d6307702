"""One platform for the tests of a file, and what a user does with it."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
import yaml

from kaito.api.conditions import conditions_of
from kaito.api.resources import WORKSPACE, Object
from kaito.cli.watching import EventLog
from kaito.embedded.manifests import CONFIG
from kaito.embedded.platform import Platform
from kaito.runtime.kube import Kube

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], seconds: float = 60, what: str = "it") -> Found:
    """What ``look`` finds, once it is more than None or False."""
    deadline, never = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} never came to be in {seconds} s"
        never.wait(0.05)
    return found


class Person:
    """Looks at the Workspaces of the namespace default."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube

    def says(self, name: str) -> dict[str, tuple[str, str]]:
        workspace = self.kube.get(WORKSPACE, name, "default") or {}
        return {kind: (c.status, c.reason) for kind, c in conditions_of(workspace).items()}

    def is_true(self, name: str, kind: str) -> bool:
        return self.says(name).get(kind, ("", ""))[0] == "True"


class User(Person):
    """A person at a terminal."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform.kube)
        self.platform = platform

    def kubectl(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [str(self.platform.programs.kubectl), "--kubeconfig", str(self.platform.kubeconfig), *words]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def kaito(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from kaito.cli import main; main()", *words]
        environment = {**os.environ, "KUBECONFIG": str(self.platform.kubeconfig)}
        return subprocess.run(
            argv, input=stdin, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def apply(self, of: str, name: str | None = None) -> str:
        obj = example(of)
        if name:
            obj["metadata"]["name"] = name
            obj["resource"]["labelSelector"]["matchLabels"]["apps"] = name
        done = self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))
        assert done.returncode == 0, done.stderr
        found: str = obj["metadata"]["name"]
        return found

    def wait_for(self, name: str, kind: str, status: str = "True", seconds: float = 90) -> None:
        until(lambda: self.says(name).get(kind, ("", ""))[0] == status, seconds, f"{kind} {status} of {name}")

    def chat(self, name: str, body: object) -> httpx.Response:
        host = f"{name}.default.localhost:{self.platform.port}"
        url = f"http://127.0.0.1:{self.platform.port}/chat"
        return httpx.post(url, headers={"Host": host}, json=body, timeout=90, trust_env=False)

    def left(self) -> list[str]:
        """What there is of any Workspace."""
        listed = self.kubectl("get", "workspace,machine,node,ksvc", "-n", "default", "-o", "name").stdout
        return listed.split()

    def delete_all(self, but: tuple[str, ...] = ()) -> None:
        done = self.kubectl("delete", "workspace", "--all", "--timeout=60s")
        assert done.returncode == 0, done.stderr
        until(lambda: set(self.left()) <= set(but), what="clean-up")


@pytest.fixture(scope="module")
def events() -> EventLog:
    return EventLog()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, events: EventLog) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), observer=events)
    platform.start()
    yield platform
    platform.stop()


@pytest.fixture
def user(platform: Platform) -> Iterator[User]:
    user = User(platform)
    yield user
    user.delete_all()


def example(name: str) -> Object:
    """The Workspace in config/examples, for namespace default."""
    manifest: Object = yaml.safe_load((CONFIG / "examples" / f"{name}.yaml").read_text())
    manifest["metadata"]["namespace"] = "default"
    return manifest


def processes_of(directory: Path) -> dict[int, list[str]]:
    """The pids and command lines of all processes that a platform in ``directory`` started."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if command and str(directory).encode() in command + environment:
            found[int(entry.name)] = command.decode().split("\0")
    return found


def renamed(manifest: Object, name: str) -> Object:
    copied = copy.deepcopy(manifest)
    copied["metadata"]["name"] = name
    return copied
