"""What the functions announce does not come back to them, and goes to the Broker that config/eventing has."""

from __future__ import annotations

import json
from typing import Final

import pytest
import yaml

from eventing.filters import predicate
from functions.provisioner import app as provisioner
from functions.tuning import app as tuning
from functions.workspace import app as workspace
from kaito.api.announcements import ANNOUNCEMENTS
from kaito.api.asyncapi import ADDRESS, HOST, document
from kaito.api.resources import Object
from kaito.embedded.manifests import CONFIG
from kaito.runtime.announcer import VARIABLE
from kaito.runtime.events import parse

#: One event of each type, as it is on the wire.
ANNOUNCED: Final = [
    parse(example["headers"], json.dumps(example["payload"]).encode())
    for message in document()["components"]["messages"].values()
    for example in message["examples"]
]
KEYS: Final = {"workspace": workspace.keys, "provisioner": provisioner.keys, "tuning": tuning.keys}


def manifests(*path: str) -> list[Object]:
    return list(yaml.safe_load_all(CONFIG.joinpath(*path).read_text()))


@pytest.mark.parametrize("trigger", manifests("eventing", "triggers.yaml"), ids=lambda it: it["metadata"]["name"])
def test_no_trigger_of_ours_wants_them(trigger: Object) -> None:
    wants = predicate(trigger["spec"])
    assert wants({"type": "dev.knative.sources.ping"}), "of what it is for, it does"
    assert len(ANNOUNCED) == len(ANNOUNCEMENTS)
    assert [event.type for event in ANNOUNCED if wants(event.attributes)] == []


@pytest.mark.parametrize("function", KEYS)
def test_they_hint_at_nothing_should_they_come_nonetheless(function: str) -> None:
    assert [event.type for event in ANNOUNCED if list(KEYS[function](event))] == []


def test_no_source_has_their_types() -> None:
    assert [event.type for event in ANNOUNCED if not event.type.startswith("sh.kaito.")] == []
    emitted = {source["kind"] for it in ("source", "sweep") for source in manifests("eventing", f"{it}.yaml")}
    assert emitted == {"ApiServerSource", "PingSource"}, "whose types begin with dev.knative"


@pytest.mark.parametrize("function", KEYS)
def test_they_go_to_the_broker(function: str) -> None:
    (service,) = manifests("functions", f"{function}.yaml")
    (container,) = service["spec"]["template"]["spec"]["containers"]
    (broker,) = manifests("eventing", "broker.yaml")
    (sink,) = (it["value"] for it in container["env"] if it["name"] == VARIABLE)
    assert sink == f"http://{HOST}{ADDRESS}"
    assert f"/{broker['metadata']['namespace']}/{broker['metadata']['name']}" == ADDRESS
