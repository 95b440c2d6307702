"""The Nodes as last seen, who holds their GPUs, and what Services may ask for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from kaito.api.resources import Object
from kaito.embedded.knative.scheduling import Unschedulable, needs_node, place


class Cluster:
    """Thread-safe. A holder is any hashable name for a pod.

    ``released`` is called after GPUs were given back: others may be waiting for them. ``features`` are Knative's
    flags, set once before the first Service. ``listed`` is set once it is known which Nodes there are: until then
    every pod would be called unschedulable, or its Node gone.
    """

    def __init__(self, released: Callable[[], None] = lambda: None) -> None:
        self.features: frozenset[str] = frozenset()
        self.listed = threading.Event()
        self._released = released
        self._lock = threading.Lock()
        self._nodes: dict[str, Object] = {}
        self._held: dict[object, tuple[str, int]] = {}

    def replace(self, nodes: Iterable[Object]) -> None:
        with self._lock:
            self._nodes = {node["metadata"]["name"]: node for node in nodes}
        self.listed.set()

    def update(self, node: Object, *, gone: bool) -> None:
        with self._lock:
            if gone:
                self._nodes.pop(node["metadata"]["name"], None)
            else:
                self._nodes[node["metadata"]["name"]] = node

    def has(self, node: str) -> bool:
        with self._lock:
            return node in self._nodes

    def bind(self, holder: object, spec: Object, gpus: int) -> str | Unschedulable | None:
        """Place a pod and hold its GPUs until ``release``; None for one that needs no Node."""
        if not needs_node(spec):
            return None
        with self._lock:
            used: Counter[str] = Counter()
            for node, held in self._held.values():
                used[node] += held
            placed = place(spec, list(self._nodes.values()), used)
            if isinstance(placed, str):
                self._held[holder] = (placed, gpus)
            return placed

    def release(self, holder: object) -> None:
        with self._lock:
            _, gpus = self._held.pop(holder, ("", 0))
        if gpus:
            self._released()
