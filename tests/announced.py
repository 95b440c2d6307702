"""What plans announce, for tests of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kaito.api.resources import Object
from kaito.runtime.plan import Announce, Plan


def announced(plan: Plan) -> list[Object]:
    """In CloudEvents' JSON format."""
    return [effect.event for effect in plan.effects if isinstance(effect, Announce)]


def ends(events: Iterable[Object]) -> list[str]:
    """Their types, as workspace.ready."""
    return [event["type"].removeprefix("sh.kaito.") for event in events]


def once(events: Sequence[Object]) -> list[Object]:
    """Those of one id as one, as it came first."""
    return list({event["id"]: event for event in reversed(events)}.values())[::-1]
