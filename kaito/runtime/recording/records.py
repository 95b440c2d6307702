"""What records say, as CloudEvents. Secrets are left out here.

``installation``: what a function was started with; ``object``: a Kubernetes object, once, by its digest; ``delivery``:
what came over HTTP, and ``answer``: what it was answered; ``decision``: what was observed, the clock, the plan, and
what it was looked at for; ``write``: what became of one effect of a plan; ``lost``: how many records there was no room
for.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import from_json, to_json

from kaito.api.redaction import harmless, redacted
from kaito.api.resources import Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Plan, Refused
from kaito.runtime.recording import codec

PREFIX: Final = "sh.kaito.recording."
INSTALLATION, OBJECT, DELIVERY, ANSWER = "installation", "object", "delivery", "answer"
DECISION, WRITE, LOST = "decision", "write", "lost"
#: Objects whose digests are remembered, and deliveries.
_REMEMBERED: Final = 20_000
#: Headers that say who sends.
_UNSEEN: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class Records:
    """Those of one process, in their order. Not thread-safe."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._versions: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._attempts: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._new: list[tuple[str, Object]] = []

    def forget(self) -> None:
        """What was told is not beside what will be: each object is told anew."""
        self._kept.clear()
        self._versions.clear()

    def lines(self, kind: str, name: str, when: datetime, subject: str, data: Object) -> Iterator[bytes]:
        """The record, after the objects that it names and that were not told yet: a line of JSON each."""
        new, self._new = self._new, []
        for digest, obj in new:
            yield self._line(OBJECT, digest, when, f"{obj['kind']}/{obj['metadata'].get('name', '')}", {"object": obj})
        yield self._line(kind, name, when, subject, data)

    def delivery(self, headers: Mapping[str, str], body: bytes) -> tuple[str, Object]:
        """Its subject is what the event is about, where it is one."""
        data: Object = {"headers": {k: redacted(v) for k, v in headers.items() if k.lower() not in _UNSEEN}}
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return "", {**data, "body_base64": base64.b64encode(body).decode()}
        told = {name.lower().removeprefix("ce-"): it for name, it in headers.items() if name.lower().startswith("ce-")}
        data["body"] = text
        if not told or not harmless(text):
            value = _value(text)
            seen = redacted(value)
            if seen != value:
                data["body"] = seen if isinstance(seen, str) else _json(seen).decode()
                data["redacted"] = True
            told = told or (value if isinstance(value, dict) else {})
        if "id" in told and "source" in told:
            data["attempt"] = self._attempt(str(told["source"]), str(told["id"]))
        return str(told.get("subject", "")), data

    def decision(
        self, key: Key, because: Sequence[str], observed: object, now: datetime, plan: Plan, refused: Refused | None
    ) -> tuple[str, Object]:
        return str(key), {
            "key": codec.dump(key, self._keep),
            "because": list(because),
            "now": exact(now),
            "observed": codec.dump(observed, self._seen),
            "plan": codec.dump(plan, self._keep),
            "refused": codec.dump(refused, self._keep),
        }

    def error(self, error: Exception) -> Object:
        return {"type": type(error).__name__, "message": redacted(str(error))}

    def _seen(self, obj: Object) -> str:
        """One as the API server has it, which one version of it has said once. (What is to be written may well name the
        version that it is written to, and says something else.)"""
        meta = obj["metadata"]
        version = str(meta.get("uid", "")), str(meta.get("resourceVersion", ""))
        known = self._versions.get(version) if all(version) else None
        if known is not None and known in self._kept:
            return known
        name = self._keep(obj)
        if all(version):
            _remember(self._versions, version, name)
        return name

    def _keep(self, obj: Object) -> str:
        text, shown = codec.canonical(obj), obj
        if not harmless(text):
            shown = redacted(obj)
            text = codec.canonical(shown)
        name = codec.text_digest(text)
        if name not in self._kept:
            self._new.append((name, shown))
            _remember(self._kept, name, None)
        return name

    def _attempt(self, source: str, event: str) -> int:
        """The how manieth it is of this event, from 1."""
        of = source, event
        _remember(self._attempts, of, self._attempts.pop(of, 0) + 1)
        return self._attempts[of]

    def _line(self, kind: str, name: str, when: datetime, subject: str, data: Object) -> bytes:
        event: Object = {
            "specversion": "1.0",
            "id": name,
            "source": self._source,
            "type": PREFIX + kind,
            "time": exact(when),
            "datacontenttype": "application/json",
            "data": data,
        }
        if subject:
            event["subject"] = subject
        return _json(event) + b"\n"


def exact(moment: datetime) -> str:
    """In UTC, with all of its microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _remember(known: OrderedDict[Any, Any], key: object, value: object) -> None:
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)


def _value(text: str) -> Any:
    """What the JSON says; the text where it is none."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _json(value: Any) -> bytes:
    try:
        return to_json(value)
    except ValueError:  # half of a surrogate pair, as JSON's escapes allow
        return json.dumps(value, separators=(",", ":")).encode()
