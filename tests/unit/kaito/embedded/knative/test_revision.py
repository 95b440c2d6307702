from __future__ import annotations

from kaito.embedded.knative.revision import Revision


def test_defaults_are_knatives() -> None:
    revision = Revision("ns", "x", "x-00001", {"spec": {"containers": [{}]}})
    assert (revision.container_port, revision.min_scale, revision.idle_limit) == (8080, 0, 60)
    assert (revision.timeout, revision.concurrency, revision.progress_deadline) == (300, None, 600)
