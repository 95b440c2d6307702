"""Our status of a ready Service has the shape of the real one."""

from __future__ import annotations

from pathlib import Path

import yaml

from kaito.embedded.knative.status import Progress, service_status

REAL = Path(__file__).parents[3] / "fixtures" / "knative" / "ksvc-gpu-service.yaml"


def test_a_ready_service_reads_as_in_knative() -> None:
    real = yaml.safe_load(REAL.read_text())["status"]
    progress = Progress(name="gpu", generation=1, url=real["url"], created="gpu-00001", ready="gpu-00001")
    assert service_status(progress, real, "2030-01-01T00:00:00Z") == real
