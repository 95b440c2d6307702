"""A Kubernetes API server for tests that says what it was told to say, and no more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

from kaito.api.resources import Kind, Object
from kaito.runtime.kube import KubeError, Labels, ObjectList, WatchEvent

Listed = ObjectList | KubeError


class ScriptedWatch:
    """Says its lines; a KubeError is raised, and after the last line it is quiet until closed."""

    def __init__(self, lines: Sequence[WatchEvent | KubeError | None]) -> None:
        self._lines = lines
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[WatchEvent]:
        for line in self._lines:
            if line is None:  # the server ends the watch
                return
            if isinstance(line, KubeError):
                raise line
            yield line
        self._closed.wait()

    def close(self) -> None:
        self._closed.set()


class ScriptedCluster:
    """For each kind, the answers to its lists and watches, in order; when they run out, nothing and quiet.

    ``asked`` records the calls as (verb, kind, namespace, resourceVersion). Of a list it gives what has the labels
    asked for.
    """

    def __init__(
        self,
        server: str,
        lists: dict[str, list[Listed]],
        watches: dict[str, list[ScriptedWatch | KubeError]],
    ) -> None:
        self.server = server
        self.asked: queue.Queue[tuple[str, str, str | None, str]] = queue.Queue()
        self._lists, self._watches = lists, watches

    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
        self.asked.put(("list", kind.kind, namespace, ""))
        answers = self._lists.get(kind.kind)
        answer = answers.pop(0) if answers else ObjectList((), "1")
        if isinstance(answer, KubeError):
            raise answer
        wanted = (labels or {}).items()
        items = (it for it in answer.items if wanted <= (it["metadata"].get("labels") or {}).items())
        return ObjectList(tuple(items), answer.resource_version)

    def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: Labels | None = None
    ) -> ScriptedWatch:
        self.asked.put(("watch", kind.kind, namespace, resource_version))
        answers = self._watches.get(kind.kind)
        answer = answers.pop(0) if answers else ScriptedWatch([])
        if isinstance(answer, KubeError):
            raise answer
        return answer


def listed(version: str, *objects: Object) -> ObjectList:
    return ObjectList(objects, version)
