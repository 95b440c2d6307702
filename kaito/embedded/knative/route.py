"""What the front proxy asks of a Service, and why it may not get it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from kaito.embedded.process import Process

#: Seconds that an idle connection to a replica is kept: gunicorn closes its end after 2, and a request could meet that.
KEPT_ALIVE = 1.0


class RouteError(Exception):
    """No replica for a request: the HTTP status to answer with, and a sentence."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    #: Seconds after which asking again may help; None where it is not known to.
    retry_after: int | None = None


class UnknownRoute(RouteError):
    """There is no such Service."""

    status = HTTPStatus.NOT_FOUND


class ServiceFailed(RouteError):
    """The Service does not run, and waiting would not help."""


class NotReadyInTime(RouteError):
    """The request waited for a replica as long as the revision's timeoutSeconds allows.

    Knative's activator answers 504 then, and nothing of when to come back.
    """

    retry_after = 5


@dataclass(frozen=True, slots=True)
class Backend:
    """A ready replica on loopback ``port``; ``deadline`` (monotonic seconds) is when the request must have ended.
    ``process`` is what answers, where that is one of this platform's."""

    port: int
    deadline: float
    process: Process | None = None
