"""Functions of others hear what becomes of a Workspace: docs/events.md and its example, on the embedded platform."""

from __future__ import annotations

import json
from collections import Counter

import yaml

from kaito.api.conditions import conditions_of
from kaito.api.resources import KNATIVE_SERVICE, WORKSPACE, Object
from kaito.embedded.manifests import CONFIG
from tests.e2e.conftest import User, until
from tests.receiver import Received, Receiver

EXAMPLE = CONFIG / "examples" / "events"


def function(webhook: str) -> tuple[Object, Object]:
    """The example's Service and Trigger: its program as a process of this machine, and a webhook of our own."""
    service, trigger = yaml.safe_load_all((EXAMPLE / "function.yaml").read_text())
    (container,) = service["spec"]["template"]["spec"]["containers"]
    container |= {"command": ["gunicorn", "--bind=127.0.0.1:$(PORT)", "app:app"], "workingDir": str(EXAMPLE)}
    container["env"] = [{"name": "WEBHOOK_URL", "value": webhook}]
    return service, trigger


def all_of_it(trigger: Object, subscriber: str) -> Object:
    """Another Trigger, on everything that is announced."""
    spec = {**trigger["spec"], "filters": [{"prefix": {"type": "sh.kaito."}}], "subscriber": {"uri": subscriber}}
    return {**trigger, "metadata": {**trigger["metadata"], "name": "everything"}, "spec": spec}


def type_of(received: Received) -> str:
    return received.headers["ce-type"].removeprefix("sh.kaito.")


def test_each_change_is_told_once_and_the_example_tells_a_webhook(user: User) -> None:
    with Receiver() as webhook, Receiver() as everything:
        service, trigger = function(webhook.url)
        mine = yaml.safe_dump_all([service, trigger, all_of_it(trigger, everything.url)])
        done = user.kubectl("apply", "-f", "-", stdin=mine)
        assert done.returncode == 0, done.stderr
        try:
            until(lambda: ready(user), what="the example")
            name = user.apply("smollm2")
            user.wait_for(name, "WorkspaceReady")
            url = (user.kube.get(WORKSPACE, name, "default") or {})["status"]["url"]
            (told,) = webhook.wait(1)
            user.delete_all(but=("service.serving.knative.dev/ready-webhook",))
            until(lambda: {"workspace.deleted", "node.removed"} <= {type_of(it) for it in everything.received})
        finally:
            user.kubectl("delete", "-f", "-", stdin=mine)
    assert json.loads(told.body) == {"text": f"{name} is ready at {url}"}
    assert len(webhook.received) == 1
    expected = ("node.provisioned", "workspace.ready", "node.removed", "workspace.deleted")
    assert Counter(map(type_of, everything.received)) == Counter(expected)
    (announced,) = (it for it in everything.received if type_of(it) == "workspace.ready")
    assert json.loads(announced.body)["url"] == url
    assert announced.headers["ce-subject"] == f"Workspace/default/{name}"
    assert announced.headers["ce-id"] == told.headers["idempotency-key"]


def ready(user: User) -> bool:
    found = user.kube.get(KNATIVE_SERVICE, "ready-webhook", "default") or {}
    return (condition := conditions_of(found).get("Ready")) is not None and condition.status == "True"
