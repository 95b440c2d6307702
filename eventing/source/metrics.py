"""What a source in a pod says of itself to Prometheus, at /metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

SENT: Final = Counter("kaito_source_events_sent", "Events that the sink has taken.", ["kind", "verb"])
FAILED: Final = Counter("kaito_source_attempts_failed", "Attempts to send, by HTTP status; 0: no answer.", ["status"])
WAITING: Final = Gauge("kaito_source_changes_waiting", "Changes that the sink has not taken yet.")
COALESCED: Final = Counter("kaito_source_changes_coalesced", "Changes that went into one that waited.")
DROPPED: Final = Counter("kaito_source_deletes_dropped", "Deletes that the spool had no room for.")
VERSION: Final = Gauge(
    "kaito_source_resource_version", "Up to where the API server's changes are written down.", ["apiversion", "kind"]
)
