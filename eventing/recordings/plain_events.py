"""CloudEvents in a file as their tools write them: structured ones, one after the other or in a list, or binary ones,
as HTTP messages. Nothing was recorded beside these."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from http.client import HTTPException, parse_headers
from pathlib import Path
from typing import Any, Final

from eventing.recordings.lines import event_of
from eventing.recordings.recording import Record, RecordingError
from eventing.recordings.replay import FUNCTIONS
from kaito.runtime.events import BadEvent, Event, from_json, parse
from kaito.runtime.recording.records import PREFIX

_REQUEST: Final = re.compile(rb"[A-Z]+ \S+ HTTP/[\d.]+\r?\n")


def read_plain(file: Path) -> tuple[Event, ...]:
    """Those of a file; none where it is a recording, or a directory. Raises RecordingError."""
    if file.is_dir():
        return ()
    try:
        content = file.read_bytes().strip()
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error.strerror}") from error
    try:
        if content[:1] in (b"{", b"["):
            found = _values(content.decode())
            return () if _is_record(next(found, None)) else tuple(map(from_json, _values(content.decode())))
        return tuple(_binary(content))
    except (BadEvent, ValueError, HTTPException) as error:
        raise RecordingError(f"{file} holds no CloudEvents: {error}") from error


def events_of(deliveries: Iterable[Record]) -> tuple[Event, ...]:
    """What they brought: each once, whoever it was brought to."""
    found: dict[tuple[str, str], Event] = {}
    for delivery in deliveries:
        if (event := event_of(delivery)) is not None:
            found.setdefault((event.source, event.id), event)
    return tuple(found.values())


def _values(text: str) -> Iterator[Any]:
    """The JSON values of a text, and those of lists instead of these. Raises ValueError."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield from value if isinstance(value, list) else (value,)
        at += len(text[at:]) - len(text[at:].lstrip())


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("type", "")).startswith(PREFIX)


def _binary(content: bytes) -> Iterator[Event]:
    """Messages with their headers, and as many bytes as Content-Length says, or else all that are left."""
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        if found := _REQUEST.match(content, stream.tell()):
            stream.seek(found.end())
        headers = dict(parse_headers(stream).items())
        length = next((int(value) for name, value in headers.items() if name.lower() == "content-length"), -1)
        yield parse(headers, stream.read(length))
        rest = content[stream.tell() :]
        stream.seek(len(rest) - len(rest.lstrip()), io.SEEK_CUR)


def hints(event: Event) -> dict[str, list[str]]:
    """By function, the objects that it would look at for the event; what hints at none is left out."""
    found = {name: [str(key) for key in function.keys(event)] for name, function in FUNCTIONS.items()}
    return {name: keys for name, keys in found.items() if keys}
