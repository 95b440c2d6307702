"""A trace as a person reads it: a tree, with when each began and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from eventing.traces.span import Moment, Span

#: Attributes that say more of a span, and what stands before them.
_SAID: Final = {
    "kaito.what": "",
    "kaito.function": "to ",
    "kaito.because": "for ",
    "kaito.why": "",
    "kaito.ready": "Ready ",
    "gen_ai.usage.output_tokens": "tokens: ",
}
_SECOND: Final = 10**9


@dataclass(frozen=True, slots=True)
class Row:
    """``took`` is empty for a moment."""

    began: str
    took: str
    branch: str
    name: str
    said: str
    failed: bool

    def __str__(self) -> str:
        said = f"  {self.said}" if self.said else ""
        return f"{self.began:>9}  {self.took:>8}  {self.branch}{self.name}{said}"

    def coloured(self) -> Text:
        """The same, for a terminal."""
        return Text.assemble(
            (f"{self.began:>9}  ", "cyan"),
            (f"{self.took:>8}  ", "green"),
            (self.branch, "dim"),
            (self.name, "bold red" if self.failed else "bold" if self.took else "yellow"),
            (f"  {self.said}" if self.said else "", "red" if self.failed else "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )


def rows(spans: Sequence[Span]) -> Iterator[Row]:
    """Of a trace, its root first: each span below its parent, in the order in which they began."""
    below: dict[str, list[Span]] = {}
    for span in spans[1:]:
        below.setdefault(span.parent, []).append(span)
    yield from _rows(spans[0], below, spans[0].began, "", "")


def _rows(span: Span, below: dict[str, list[Span]], zero: int, branch: str, further: str) -> Iterator[Row]:
    yield Row(_offset(span.began - zero), _took(span), branch, span.name, _said(span), bool(span.failure))
    parts: list[Span | Moment] = [*below.get(span.id, ()), *span.moments]
    parts.sort(key=lambda it: it.when if isinstance(it, Moment) else it.began)
    for place, part in enumerate(parts, 1):
        turn, line = ("└─ ", "   ") if place == len(parts) else ("├─ ", "│  ")
        if isinstance(part, Moment):
            yield Row(_offset(part.when - zero), "", further + turn, part.name, "", failed=False)
        else:
            yield from _rows(part, below, zero, further + turn, further + line)


def _said(span: Span) -> str:
    found = [f"{before}{span.attributes[name]}" for name, before in _SAID.items() if span.attributes.get(name)]
    links = [f"linked to trace {trace}" for trace, _ in span.links if trace != span.trace]
    return ", ".join([*([span.failure] if span.failure else []), *found, *links])


def _offset(nanoseconds: int) -> str:
    return f"{nanoseconds / _SECOND:.3f}"


def _took(span: Span) -> str:
    seconds = (span.ended - span.began) / _SECOND
    text = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"
    return f"{text}…" if span.attributes.get("kaito.goes_on") else text
