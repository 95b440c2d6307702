"""Asking a pod that trains how far it is."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import urllib3

from functions.tuning.render import PORT
from kaito.api.resources import Object

_SECONDS: Final = 1.0  # it is asked again soon
_MOST: Final = 65_536  # bytes
_NUMBERS: Final = ("step", "steps", "loss", "eval_loss", "remaining")
_pool = urllib3.PoolManager(retries=False, timeout=_SECONDS)


def ask(host: str) -> Object | None:
    """Its answer; None where there is none, as while it loads."""
    address = f"[{host}]" if ":" in host else host
    try:
        answer = _pool.request("GET", f"http://{address}:{PORT}/progress", redirect=False, preload_content=False)
        try:
            content = json.loads(answer.read(_MOST)) if answer.status == 200 else None
        finally:
            answer.release_conn()
    except (urllib3.exceptions.HTTPError, ValueError, OSError):
        return None
    return content if isinstance(content, dict) and all(_is_number(content.get(it)) for it in _NUMBERS) else None


def _is_number(value: Any) -> bool:
    """Or nothing: whoever has the address of a pod that is gone may answer anything."""
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
