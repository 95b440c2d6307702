"""The same story while things break: nothing is lost, nothing is made twice."""

from __future__ import annotations

import os
import signal

from kaito.api.resources import API_SERVER_SOURCE, MACHINE, NODE
from kaito.embedded.platform import Platform
from tests.e2e.conftest import User, processes_of, renamed, until

NAMES = [f"w{index}" for index in range(5)]


def all_provisioned(user: User) -> bool:
    return all(user.is_true(name, "ResourceReady") for name in NAMES)


def one_node_each(user: User) -> None:
    owners = sorted(machine["metadata"]["labels"]["kaito.sh/workspace"] for machine in user.kube.list(MACHINE).items)
    nodes = sorted(node["metadata"]["labels"]["kaito.sh/workspace"] for node in user.kube.list(NODE).items)
    assert owners == nodes == NAMES


def test_functions_killed_in_the_middle_of_it(user: User, platform: Platform) -> None:
    for name in NAMES:
        user.apply("phi-3-mini", name)
    until(lambda: user.kube.list(MACHINE).items, what="a first write")
    killed = [
        pid
        for pid, command in processes_of(platform.directory).items()
        if any(word.startswith("functions.") for word in command)
    ]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert killed
    until(lambda: all_provisioned(user), what="all nodes")
    one_node_each(user)


def test_every_event_delivered_twice(user: User) -> None:
    source = user.kube.get(API_SERVER_SOURCE, "kaito", "kaito-system")
    assert source is not None
    twin = renamed({key: source[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {}}, "twin")
    twin["metadata"]["namespace"] = "kaito-system"
    user.kube.apply(twin, manager="tests")
    try:
        for name in NAMES:
            user.apply("phi-3-mini", name)
        until(lambda: all_provisioned(user), what="all nodes")
        one_node_each(user)
        user.delete_all()
    finally:
        user.kube.delete(API_SERVER_SOURCE, "twin", "kaito-system")


def test_the_api_server_restarts_in_the_middle_of_it(user: User, platform: Platform) -> None:
    for name in NAMES:
        user.apply("phi-3-mini", name)
    until(lambda: user.kube.list(MACHINE).items, what="a first write")
    platform.control_plane.restart_apiserver()
    until(lambda: all_provisioned(user), what="all nodes")
    one_node_each(user)


def test_the_model_that_crashed_is_back(user: User, platform: Platform) -> None:
    name = user.apply("smollm2")
    user.wait_for(name, "WorkspaceReady")
    servers = {pid for pid, command in processes_of(platform.directory).items() if "serving" in command}
    (pid,) = {os.getpgid(pid) for pid in servers}
    os.killpg(pid, signal.SIGKILL)
    answer = user.chat(name, {"prompt": "What is the capital of France?"})
    while answer.status_code in (502, 503):  # what was in flight when it died
        answer = user.chat(name, {"prompt": "What is the capital of France?"})
    assert "Paris" in answer.json()["Result"]
