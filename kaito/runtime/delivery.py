"""An event's delivery, whatever it came by: what is reconciled for it, and what is answered.

Status codes are the Broker's language (Knative's data plane specification): 202 when the event is dealt with, 400 for
what is no CloudEvent (not retried), 409 and 5xx for a failure that a redelivery may cure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

from kaito.runtime.events import BadEvent, parse
from kaito.runtime.keys import PING
from kaito.runtime.kube import Conflict, KubeError
from kaito.runtime.reconciler import Reconciler

#: Below the Triggers' delivery timeout (60 s), so that the Broker hears why.
ANSWER_WITHIN_SECONDS = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """``reason``: why it is no 202. ``hints``: at how many objects of the function the event hints."""

    status: int
    reason: str = ""
    hints: int = 0


def deliver(reconciler: Reconciler[Any], headers: Mapping[str, str], body: bytes) -> Answer:
    """Have reconciled what this HTTP message hints at, and wait for that; a ping is a sweep. Both are recorded."""
    recorder = reconciler.recorder
    if recorder is None:
        return _answered(reconciler, headers, body, "")
    began = time.monotonic()
    delivery = recorder.delivery(headers, body)
    answer = _answered(reconciler, headers, body, delivery)
    recorder.answer(delivery, answer.status, answer.reason, answer.hints, time.monotonic() - began)
    return answer


def _answered(reconciler: Reconciler[Any], headers: Mapping[str, str], body: bytes, cause: str) -> Answer:
    try:
        event = parse(headers, body)
        futures = reconciler.sweep(cause) if event.type == PING else reconciler.hear(event, cause)
    except BadEvent as error:
        return Answer(400, str(error))
    except KubeError as error:
        return _failure(error)
    pending = wait(futures, timeout=ANSWER_WITHIN_SECONDS).not_done
    if pending:
        return Answer(503, "the reconcile is still running", len(futures))
    failures = [failure for future in futures if (failure := future.exception()) is not None]
    return _failure(failures[0], len(futures)) if failures else Answer(202, hints=len(futures))


def _failure(error: BaseException, hints: int = 0) -> Answer:
    return Answer(409 if isinstance(error, Conflict) else 503, str(error), hints)
