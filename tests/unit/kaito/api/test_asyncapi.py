"""docs/asyncapi.yaml is what the models say, and what it says holds of its examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from kaito.api.announcements import ANNOUNCEMENTS, schema_of
from kaito.api.asyncapi import FILE, document, rendered, table
from kaito.api.resources import Object

DOCUMENT = document()
NAMES = [it.__name__ for it in ANNOUNCEMENTS]


def validator(schema: Object) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def test_the_file_is_what_the_models_say() -> None:
    assert FILE.read_text() == rendered(), "run python -m kaito.api.asyncapi"
    assert yaml.safe_load(FILE.read_text()) == DOCUMENT


def test_the_docs_have_the_table_of_the_models() -> None:
    lines = table()
    assert len(lines) == len(NAMES) + 2
    assert "\n".join(lines) in FILE.with_name("events.md").read_text(), "\n".join(lines)


def test_every_type_is_on_its_way_to_the_broker() -> None:
    (channel,), (operation,) = DOCUMENT["channels"].values(), DOCUMENT["operations"].values()
    assert list(channel["messages"]) == list(DOCUMENT["components"]["messages"]) == NAMES
    assert [it["$ref"].rpartition("/")[2] for it in operation["messages"]] == NAMES
    assert operation["action"] == "send"


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > len(NAMES)
    for reference in found:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "$ref" else references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.mark.parametrize("announcement", ANNOUNCEMENTS, ids=NAMES)
class TestExamples:
    def test_they_are_what_the_schemas_say(self, announcement: Any) -> None:
        message = DOCUMENT["components"]["messages"][announcement.__name__]
        (example,) = message["examples"]
        validator(message["payload"]).validate(example["payload"])
        validator(message["headers"]).validate(example["headers"])
        assert announcement.model_validate(example["payload"]).TYPE == example["headers"]["ce-type"] == message["name"]
        schema = DOCUMENT["components"]["schemas"][announcement.__name__]
        assert schema["$id"] == example["headers"]["ce-dataschema"] == schema_of(announcement)

    def test_anything_less_is_not(self, announcement: Any) -> None:
        message = DOCUMENT["components"]["messages"][announcement.__name__]
        (example,) = message["examples"]
        for part in ("payload", "headers"):
            for name in example[part]:
                less = {key: value for key, value in example[part].items() if key != name}
                assert not validator(message[part]).is_valid(less), f"{part} without {name}"
                assert not validator(message[part]).is_valid({**example[part], name: 1}), f"{name} that is a number"
