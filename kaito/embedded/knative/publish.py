"""What the API server is told of a Service: its status, and its Revisions."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from kaito.api.conditions import rfc3339
from kaito.api.resources import REVISION, Object
from kaito.api.status import identity
from kaito.embedded.knative.status import (
    SERVICE_LABEL,
    Progress,
    Version,
    revision,
    revision_status,
    service_status,
)
from kaito.runtime.kube import Conflict, Kube, KubeError

MANAGER = "kaito-embedded-knative"

log = structlog.get_logger()


class Publisher:
    """Remembers what it has written, and writes what is new. For one thread."""

    def __init__(self, service: Object, kube: Kube) -> None:
        self.status: Object = service.get("status") or {}
        self._service, self._kube = identity(service), kube
        self._revisions: dict[str, Object] | None = None  # their statuses by name, once those of before are read

    def publish(self, progress: Progress) -> bool:
        """Revisions first, for the Service's status names them. False when something is to be tried again."""
        now = rfc3339(datetime.now(UTC))
        try:
            if self._revisions is None:
                self._revisions = self._of_before()
            for version in progress.versions:
                self._put(version, self._revisions, now)
            self._prune(self._revisions, {version.revision.name for version in progress.versions})
            status = service_status(progress, self.status, now)
            if status != self.status:
                self._kube.apply({**self._service, "status": status}, manager=MANAGER, subresource="status")
                self.status = status
        except Conflict:
            return True  # deleted, or made anew under its name: the watch tells
        except KubeError as error:
            log.warning("status not written", service=progress.name, error=str(error))
            return error.status == 404
        return True

    def _of_before(self) -> dict[str, Object]:
        """Those that another run of the platform has left."""
        meta = self._service["metadata"]
        found = self._kube.list(REVISION, meta["namespace"], {SERVICE_LABEL: meta["name"]}).items
        own = (it for it in found if it["metadata"]["ownerReferences"][0]["uid"] == meta["uid"])
        return {it["metadata"]["name"]: it.get("status") or {} for it in own}

    def _put(self, version: Version, written: dict[str, Object], now: str) -> None:
        name = version.revision.name
        if name not in written:
            self._kube.apply(revision(version, self._service), manager=MANAGER)
            written[name] = {}
        status = revision_status(version, written[name], now)
        if status != written[name]:
            head = {"apiVersion": REVISION.api_version, "kind": REVISION.kind}
            meta = {"name": name, "namespace": version.revision.namespace}
            self._kube.apply({**head, "metadata": meta, "status": status}, manager=MANAGER, subresource="status")
            written[name] = status

    def _prune(self, written: dict[str, Object], current: set[str]) -> None:
        """No request can reach what is no more current: traffic is never split here."""
        for name in written.keys() - current:
            self._kube.delete(REVISION, name, self._service["metadata"]["namespace"])
            del written[name]
