"""Sizes as settings say them."""

from __future__ import annotations

from collections.abc import Mapping


def megabytes(environment: Mapping[str, str], name: str, default: int) -> int:
    """The variable of that ``name``, in bytes. Raises ValueError."""
    given = environment.get(name, str(default))
    if not given.isdecimal() or int(given) == 0:
        raise ValueError(f"{name} is {given!r}; it must be a number of megabytes, from 1 on")
    return int(given) << 20
