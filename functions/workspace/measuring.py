"""Asking a model's server how long it took to start."""

from __future__ import annotations

from typing import Any, Final

import structlog
import urllib3
from pydantic import BaseModel, ValidationError

from functions.workspace.startup import FIELD, Measure
from kaito.api.status import identity
from kaito.runtime.kube import Kube, KubeError

_MANAGER: Final = "kaito-workspace-startup"
_SECONDS: Final = 2.0  # without which it is asked again when the Workspace is next looked at
_MOST: Final = 65_536  # bytes
_log = structlog.get_logger()
_pool = urllib3.PoolManager(retries=False, timeout=_SECONDS)


class _Stage(BaseModel):
    name: str
    seconds: float


class _Answer(BaseModel):
    stages: list[_Stage]


def measure(effect: Measure, kube: Kube) -> None:
    """Write its answer into the Workspace's status. That nobody answers, or the Workspace is gone, is no failure."""
    try:
        stages = _ask(effect.url)
        startup = {"revision": effect.revision, "stages": stages}
        kube.apply({**identity(effect.workspace), "status": {FIELD: startup}}, manager=_MANAGER, subresource="status")
    except (urllib3.exceptions.HTTPError, ValidationError, KubeError) as error:
        _log.info("not measured", workspace=effect.workspace["metadata"]["name"], url=effect.url, reason=str(error))


def _ask(url: str) -> list[dict[str, Any]]:
    parsed = urllib3.util.parse_url(url)
    headers = {"Host": parsed.netloc or ""}
    if (parsed.host or "").endswith(".localhost"):  # is this machine, whatever the resolver says
        parsed = parsed._replace(host="127.0.0.1")
    answer = _pool.request("GET", str(parsed), headers=headers, redirect=False, preload_content=False)
    try:
        content = answer.read(_MOST) if answer.status == 200 else b"{}"
    finally:
        answer.release_conn()
    found = _Answer.model_validate_json(content)
    return [{"name": stage.name, "duration": f"{stage.seconds:.3f}s"} for stage in found.stages]
