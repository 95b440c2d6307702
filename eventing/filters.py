"""Which events a Trigger wants: its filters, compiled to one predicate over context attributes.

``filters`` takes the place of the older ``filter.attributes``; its elements must all hold. Source: the
Subscriptions API's filter dialects as Knative implements them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eventing import cesql
from eventing.manifest import ManifestError

#: Tells whether an event with these context attributes is wanted.
Predicate = Callable[[Mapping[str, str]], bool]

_DIALECTS: Final = "exact, prefix, suffix, all, any, not, cesql"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*")
_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


def predicate(spec: Mapping[str, Any], field: str = "spec") -> Predicate:
    """Compile a Trigger's spec; raises ManifestError naming the bad field. No filter means every event."""
    if spec.get("filters"):
        return _all(_each(spec["filters"], f"{field}.filters"))
    if spec.get("filter"):
        return _legacy(spec["filter"], f"{field}.filter")
    return lambda _: True


def _compile(element: Any, field: str) -> Predicate:
    if not isinstance(element, Mapping) or len(element) != 1:
        raise ManifestError(field, f"must hold exactly one of {_DIALECTS}")
    ((dialect, operand),) = element.items()
    field = f"{field}.{dialect}"
    if dialect in _COMPARE:
        return _comparison(_COMPARE[dialect], _attributes(operand, field))
    if dialect == "all":
        return _all(_each(operand, field))
    if dialect == "any":
        alternatives = _each(operand, field)
        return lambda attributes: any(wanted(attributes) for wanted in alternatives)
    if dialect == "not":
        unwanted = _compile(operand, field)
        return lambda attributes: not unwanted(attributes)
    if dialect == "cesql":
        return _cesql(operand, field)
    raise ManifestError(field, f"unknown dialect: use one of {_DIALECTS}")


def _each(elements: Any, field: str) -> tuple[Predicate, ...]:
    if not isinstance(elements, Sequence) or isinstance(elements, str) or not elements:
        raise ManifestError(field, "must be a list of at least one filter")
    return tuple(_compile(element, f"{field}[{index}]") for index, element in enumerate(elements))


def _all(conditions: tuple[Predicate, ...]) -> Predicate:
    return lambda attributes: all(wanted(attributes) for wanted in conditions)


def _comparison(compare: Callable[[str, str], bool], wanted: Mapping[str, str]) -> Predicate:
    return lambda attributes: all(
        name in attributes and compare(attributes[name], value) for name, value in wanted.items()
    )


def _cesql(operand: Any, field: str) -> Predicate:
    """True is wanted; what is false, no boolean or has no value for an event is not."""
    if not isinstance(operand, str):
        raise ManifestError(field, "must be an expression, such as kind = 'Workspace'")
    try:
        expression = cesql.parse(operand)
    except cesql.ParseError as error:
        raise ManifestError(field, str(error)) from error

    def wanted(attributes: Mapping[str, str]) -> bool:
        try:
            return expression(attributes) is True
        except cesql.EvaluationError:
            return False

    return wanted


def _attributes(operand: Any, field: str, *, empty_ok: bool = False) -> dict[str, str]:
    if not isinstance(operand, Mapping) or not operand:
        raise ManifestError(field, "must map at least one attribute to a value")
    for name, value in operand.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ManifestError(f"{field}.{name}", "attribute names are lower-case letters and digits")
        if not isinstance(value, str) or not (value or empty_ok):
            raise ManifestError(f"{field}.{name}", "must be a string that is not empty; quote numbers")
    return dict(operand)


def _legacy(operand: Any, field: str) -> Predicate:
    """Attributes that must be equal; an empty value asks only that the attribute is there and not empty."""
    if not isinstance(operand, Mapping) or set(operand) != {"attributes"}:
        raise ManifestError(field, "must hold attributes and nothing else")
    wanted = _attributes(operand["attributes"], f"{field}.attributes", empty_ok=True)
    return lambda attributes: all(
        attributes.get(name) == value if value else bool(attributes.get(name)) for name, value in wanted.items()
    )
