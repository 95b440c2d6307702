"""A decision as a value: what to write, in order, and when to look again.

Every effect is idempotent, so a plan that was cut short anywhere is finished by deciding again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Self

from kaito.api.resources import Kind, Object


class WriteError(Exception):
    """A write that was not done. ``permanent``: the very same one would be refused again."""

    permanent = False


class Beyond:
    """The base of what a function does elsewhere than on the API server; ``Function.run`` knows how. ``tells``: others
    do not wait for it."""

    __slots__ = ()
    tells = False


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of exactly these fields. ``why`` is for the person reading the log or a replay. ``tells``: it
    only reports on what else is there, as a status does. ``beside``: fields and conditions of a status that are
    others', and stay."""

    object: Object
    why: str
    subresource: str | None = None
    tells: bool = False
    beside: frozenset[str] = frozenset()

    def __str__(self) -> str:
        meta = self.object["metadata"]
        target = f"{self.object['kind']} {meta['name']}" + (f"/{self.subresource}" if self.subresource else "")
        return f"apply {target}: {self.why}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Replace an object's finalizers and set annotations, if it has not changed since it was observed (else Conflict).

    Gone is fine, but for one to be added: what comes after that is not to be done for it. Not server-side apply: a
    finalizer that somebody else happens to own too would never go away.
    """

    object: Object
    finalizers: tuple[str, ...]
    why: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"mark {self.object['kind']} {self.object['metadata']['name']}: {self.why}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete that very object (by uid), if it is still there."""

    kind: Kind
    name: str
    namespace: str
    uid: str
    why: str

    @classmethod
    def of(cls, obj: Object, why: str) -> Self:
        meta = obj["metadata"]
        return cls(Kind.of(obj), meta["name"], meta.get("namespace", ""), meta["uid"], why)

    def __str__(self) -> str:
        return f"delete {self.kind.kind} {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class Tell:
    """Create this Kubernetes Event; one of that name is the same.

    Not server-side apply, which takes the API server half as much again: nobody changes an Event.
    """

    event: Object

    def __str__(self) -> str:
        return f"event of {self.event['involvedObject']['name']}: {self.event['reason']}"


@dataclass(frozen=True, slots=True)
class Announce:
    """Send this CloudEvent, in CloudEvents' JSON format, to whoever has subscribed; one of that id is the same.

    It comes before the write that makes it old news. That it is lost is told, and no reason to stop. ``tells``: others
    do not wait for it.
    """

    event: Object
    tells: bool = True

    def __str__(self) -> str:
        return f"announce {self.event['type']}: {self.event['subject']}"


Effect = Apply | Mark | Delete | Tell | Announce | Beyond


@dataclass(frozen=True, slots=True)
class Refused:
    """A write that is refused for good, and with what words."""

    effect: Effect
    error: WriteError

    def __str__(self) -> str:
        return f"{self.effect}: {self.error}"


def finalizer(
    obj: Object, name: str, *, present: bool, why: str, annotations: Mapping[str, str] | None = None
) -> tuple[Mark, ...]:
    """The effect that has ``name`` among the object's finalizers or not, and these annotations; nothing where that
    holds already."""
    meta, wanted = obj["metadata"], annotations or {}
    before = tuple(meta.get("finalizers") or ())
    if (name in before) == present and wanted.items() <= (meta.get("annotations") or {}).items():
        return ()
    others = tuple(item for item in before if item != name)
    after = before if (name in before) == present else (*before, name) if present else others
    return (Mark(obj, after, why, wanted),)


@dataclass(frozen=True, slots=True)
class Plan:
    """``requeue_after``: seconds until looking again is worth it without an event. It saves time only: the sweep
    comes anyway. ``settled``: nothing is under way, so no fast sweep is needed for this object."""

    effects: tuple[Effect, ...] = ()
    requeue_after: float | None = None
    settled: bool = True

    @property
    def does(self) -> tuple[Effect, ...]:
        """The effects that others wait for."""
        return tuple(effect for effect in self.effects if not _tells(effect))

    @property
    def tells(self) -> tuple[Effect, ...]:
        """The effects that report on it, which come after them."""
        return tuple(effect for effect in self.effects if _tells(effect))


def _tells(effect: Effect) -> bool:
    return isinstance(effect, Tell) or (isinstance(effect, Apply | Announce | Beyond) and effect.tells)


def holds(wanted: object, found: object) -> bool:
    """Does ``found`` hold all of ``wanted``? Objects may have more fields (defaults); lists are compared in order.

    What is empty may be absent and quantities may be written another way: webhooks in Go write objects anew.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            _holds_field(key, value, found[key]) if key in found else not value for key, value in wanted.items()
        )
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(found, (list, tuple))
            and len(wanted) == len(found)
            and all(holds(w, f) for w, f in zip(wanted, found, strict=True))
        )
    return wanted == found


def _holds_field(key: str, wanted: object, found: object) -> bool:
    if key in ("limits", "requests") and isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and quantity(amount) == quantity(found[name]) for name, amount in wanted.items())
    return holds(wanted, found)


_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]+))?")


def quantity(text: str | int) -> Decimal | str:
    """The number that a Kubernetes quantity stands for; what is none as it is."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        return str(text)
    digits, binary, decimal, exponent = found.groups()
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return str(text)
    if binary:
        return number * Decimal(1024) ** ("KMGTPE".index(binary[0]) + 1)
    if decimal:
        return number.scaleb(3 * ("num kMGTPE".index(decimal) - 3))
    return number.scaleb(int(exponent or 0))
