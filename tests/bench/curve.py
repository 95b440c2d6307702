"""The loss of a tuning as a picture: ``python -m training ... | python -m tests.bench.curve FILE.svg``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

WIDTH, HEIGHT, EDGE = 640, 300, 48
_COLOURS: Final = {"loss": "#2563eb", "eval_loss": "#ea580c"}


def points(lines: Iterable[str], name: str) -> list[tuple[int, float]]:
    """Step and loss of each line of progress that has it anew."""
    found: list[tuple[int, float]] = []
    for line in lines:
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("event") != "training.progress" or said.get(name) is None:
            continue
        if not found or (said["step"] > found[-1][0] and (name == "loss" or said[name] != found[-1][1])):
            found.append((said["step"], said[name]))
    return found


def svg(lines: list[str]) -> str:
    """The picture of all losses there are."""
    curves = {name: points(lines, name) for name in _COLOURS}
    every = [point for curve in curves.values() for point in curve]
    most, steps = max(loss for _, loss in every), max(step for step, _ in every)

    def place(step: float, loss: float) -> str:
        x = EDGE + (WIDTH - 2 * EDGE) * step / steps
        return f"{x:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * loss / most:.1f}"

    left, bottom = EDGE, HEIGHT - EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{left},{EDGE} V{bottom} H{WIDTH - EDGE}" fill="none" stroke="#444"/>',
        f'<text x="{left - 6}" y="{EDGE + 4}" text-anchor="end">{most:.2f}</text>',
        f'<text x="{left - 6}" y="{bottom + 4}" text-anchor="end">0</text>',
        f'<text x="{WIDTH - EDGE}" y="{bottom + 18}" text-anchor="end">step {steps}</text>',
    ]
    for number, (name, curve) in enumerate(curves.items()):
        if curve:
            line = " ".join(place(*point) for point in curve)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2"/>')
            label = f'<text x="{WIDTH - EDGE}" y="{EDGE + 16 * number}" text-anchor="end" fill="{_COLOURS[name]}">'
            parts.append(f"{label}{name.replace('_', ' ')}</text>")
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(sys.stdin.readlines()))
