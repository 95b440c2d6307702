"""CloudEvents over HTTP: the one adapter between the wire, the cloudevents package and this project.

The package validates and builds; what is on the wire is read here. Its own readers invent a missing id, time
and specversion, cut the time to microseconds, parse data nobody asked for, and fail with unrelated
exceptions.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, unquote

from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.v1.event import OPTIONAL_ATTRIBUTES, REQUIRED_ATTRIBUTES, CloudEvent

#: What an attribute value may hold unescaped in a header (CloudEvents HTTP binding 1.0.2, section 3.1.3.2).
_UNESCAPED: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
#: A ``datacontenttype``, RFC 2046's media type. It travels as it is in a header: one line of ASCII.
CONTENT_TYPE: Final = re.compile(r"^[!#$&^_.+\-a-zA-Z0-9]+/[!#$&^_.+\-a-zA-Z0-9]+[\t ]*(;[\t -~]*)?$")
#: A timestamp of RFC 3339: Python's reader takes more.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
#: A character of a quoted string that a backslash stands before.
_ESCAPED: Final = re.compile(r"\\(.)")
_STRUCTURED: Final = "application/cloudevents+json"
#: What of the JSON format is no attribute.
_DATA: Final = frozenset({"data", "data_base64"})
#: The content type of a batch, in JSON.
BATCH: Final = "application/cloudevents-batch+json"


class BadEvent(Exception):
    """What arrived is no CloudEvent 1.0, or its data is not what its content type says; the text says why."""


@dataclass(frozen=True)
class Event:
    """A CloudEvent: ``attributes`` holds all context attributes, extensions included, as on the wire."""

    attributes: Mapping[str, str]
    body: bytes = b""

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def subject(self) -> str | None:
        return self.attributes.get("subject")

    @cached_property
    def data(self) -> Any:
        """The body parsed if its type is JSON, else as bytes; None if empty. Raises BadEvent."""
        if not self.body:
            return None
        content_type = self.attributes.get("datacontenttype", "")
        return _json(self.body, f"data is not the {content_type} it says") if _is_json(content_type) else self.body

    def with_attributes(self, **changes: str | None) -> Event:
        """The same event with these attributes; None takes one away."""
        merged = {**self.attributes, **changes}
        return Event({name: value for name, value in merged.items() if value is not None}, self.body)


def new(attributes: Mapping[str, str], body: bytes = b"") -> Event:
    """An event of our own, with a fresh id, the present time and these attributes. Raises BadEvent."""
    built = _validated(dict(attributes)).get_attributes()
    time = built["time"].isoformat().replace("+00:00", "Z")
    return Event({**built, "time": attributes.get("time", time)}, body)


def parse(headers: Mapping[str, str], body: bytes) -> Event:
    """Read an HTTP message in binary or structured (JSON) mode; raises BadEvent with what is wrong."""
    by_name = {name.lower(): value for name, value in headers.items()}
    content_type = by_name.get("content-type", "").lower()
    if content_type.startswith(_STRUCTURED):
        return from_json(_json(body, f"the body is not the {_STRUCTURED} it says"))
    if content_type.startswith("application/cloudevents"):
        raise BadEvent(f"cannot read {content_type}: send single events, in binary mode or as {_STRUCTURED}")
    attributes = {name[3:]: _unescaped(name, value) for name, value in by_name.items() if name.startswith("ce-")}
    if "content-type" in by_name:
        attributes["datacontenttype"] = by_name["content-type"]
    return _checked(attributes, body)


def parse_all(headers: Mapping[str, str], body: bytes) -> tuple[Event, ...]:
    """Read an HTTP message in any mode: the events of a batch, or the one that it is. Raises BadEvent."""
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if not content_type.lower().startswith(BATCH):
        return (parse(headers, body),)
    batch = _json(body, f"the body is not the {BATCH} it says")
    if not isinstance(batch, list):
        raise BadEvent(f"the body is a JSON {type(batch).__name__}, a batch is an array")
    return tuple(map(from_json, batch))


def from_json(value: Any) -> Event:
    """From CloudEvents' JSON format. Raises BadEvent."""
    return _checked(*_structured(value))


def to_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """The headers and body of the event in binary mode."""
    headers = {
        f"ce-{name}": quote(value, safe=_UNESCAPED)
        for name, value in event.attributes.items()
        if name != "datacontenttype"
    }
    if "datacontenttype" in event.attributes:
        headers["content-type"] = event.attributes["datacontenttype"]
    return headers, event.body


def _structured(envelope: Any) -> tuple[dict[str, str], bytes]:
    if not isinstance(envelope, dict):
        raise BadEvent(f"the body is a JSON {type(envelope).__name__}, an event is an object")
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if data is not None and encoded is not None:
        raise BadEvent("an event has data or data_base64, not both")
    attributes = {name: _text(name, it) for name, it in envelope.items() if it is not None and name not in _DATA}
    if encoded is not None:
        try:
            return attributes, base64.b64decode(encoded, validate=True)
        except (ValueError, TypeError) as error:
            raise BadEvent(f"data_base64: {error}") from error
    if data is None:
        return attributes, b""
    content_type = attributes.setdefault("datacontenttype", "application/json")
    if isinstance(data, str) and not _is_json(content_type):
        return attributes, _encoded("data", data)
    return attributes, json.dumps(data, separators=(",", ":")).encode()


def _checked(attributes: dict[str, str], body: bytes) -> Event:
    if missing := [name for name in REQUIRED_ATTRIBUTES if name not in attributes]:
        raise BadEvent(f"not a CloudEvent: no {', '.join(missing)} (in binary mode, headers ce-NAME)")
    _validated(dict(attributes))
    return Event(attributes, body)


def _validated(attributes: dict[str, Any]) -> CloudEvent:
    for name, value in attributes.items():
        _encoded(f"attribute {name}", value)
    content_type = attributes.get("datacontenttype")
    if content_type is not None and not CONTENT_TYPE.fullmatch(content_type):
        raise BadEvent(f"attribute datacontenttype must be a media type such as application/json, not {content_type!a}")
    if "time" in attributes and not _TIME.fullmatch(attributes["time"]):
        raise BadEvent(f"attribute time must be RFC 3339's, such as 2018-04-05T17:31:00Z, not {attributes['time']!a}")
    try:
        if "time" in attributes:
            attributes["time"] = datetime.fromisoformat(attributes["time"].upper())
        return CloudEvent(attributes)
    except CloudEventValidationError as error:
        raise BadEvent("; ".join(str(reason) for reasons in error.errors.values() for reason in reasons)) from error
    except (BaseCloudEventException, ValueError) as error:
        raise BadEvent(str(error)) from error


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, as JSON's escapes allow
        raise BadEvent(f"{what} is no Unicode text: {error.reason}") from error


def _unescaped(name: str, value: str) -> str:
    """What a header says: a quoted string, as older senders write, then percent-encoding."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise BadEvent(f"header {name} is percent-encoded, but not of UTF-8: {error.reason}") from error


def _text(name: str, value: Any) -> str:
    """An attribute of the JSON format in the canonical string form of its type."""
    if isinstance(value, str):
        return value
    if name in (*REQUIRED_ATTRIBUTES, *OPTIONAL_ATTRIBUTES):
        raise BadEvent(f"attribute {name} must be a string, not {type(value).__name__}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise BadEvent(f"attribute {name} must be a string, a number or a boolean, not {type(value).__name__}")


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def _json(body: bytes, otherwise: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"{otherwise}: {error}") from error
