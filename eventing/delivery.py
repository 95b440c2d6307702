"""Getting one message to one address: retries, waits, what counts as delivered, and what an answer means.

Waits follow Knative to the letter: none at all unless both policy and delay are set, and the linear policy's
first retry comes at once (its attempts count from 0).
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, Literal

import httpx
import structlog
from pydantic import BeforeValidator, Field

from eventing.manifest import Spec, read
from kaito.runtime.events import BadEvent, Event, parse

_log: Final = structlog.get_logger()
#: Knative cuts ``knativeerrordata`` here.
_ERROR_DATA_LIMIT: Final = 1024


class Unresolved(Exception):
    """A destination has no address now; the text says what is missing. Each attempt asks again."""


#: A manifest's destination (``ref`` or ``uri``) in a namespace, to a URL; raises Unresolved.
Resolve = Callable[[Mapping[str, Any], str], str]
#: By a pattern of URLs, as httpx's clients take them: how to reach what is in this very process.
Mounts = Mapping[str, httpx.BaseTransport]


def _retried_by_brokers(status: int) -> bool:
    return status >= 500 or status in (0, 404, 408, 409, 429)


def _retried_by_sources(status: int) -> bool:
    return status in (0, 404, 413, 425, 429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and when to try again; ``delay`` and ``timeout`` (of one attempt) in seconds."""

    retry: int = 0
    backoff: Literal["linear", "exponential"] | None = None
    delay: float = 0.0
    timeout: float | httpx.Timeout | None = None
    retried: Callable[[int], bool] = _retried_by_brokers

    def wait(self, attempt: int) -> float:
        """Seconds between the failed attempt (the first is 1) and the next one."""
        if self.backoff is None:
            return 0.0
        return float(self.delay * (attempt - 1 if self.backoff == "linear" else 2 ** (attempt - 1)))


#: ApiServerSource and PingSource: 5 retries over 3.1 s; not of a 500, what a broker answers when it failed.
SOURCE_POLICY: Final = Policy(5, "exponential", 0.1, retried=_retried_by_sources)
#: A Broker that says nothing else: 10 retries over 204.6 s.
BROKER_POLICY: Final = Policy(10, "exponential", 0.2)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A Trigger's policy and the destination of what could not be delivered, if any."""

    policy: Policy
    dead_letter: Mapping[str, Any] | None = None


def _iso_8601(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("P"):
        return value
    raise ValueError("must be an ISO 8601 duration such as PT0.5S")


_Duration = Annotated[timedelta, BeforeValidator(_iso_8601), Field(ge=timedelta(0))]


class DeliverySpec(Spec):
    retry: int = Field(default=0, ge=0)
    backoff_policy: Literal["linear", "exponential"] | None = None
    backoff_delay: _Duration | None = None
    timeout: _Duration | None = None
    dead_letter_sink: dict[str, Any] | None = None


def delivery(
    trigger: Mapping[str, Any] | None, broker: Mapping[str, Any] | None, field: str = "spec.delivery"
) -> Delivery:
    """A Trigger's delivery replaces its Broker's, but for the dead letter sink. Raises ManifestError."""
    ours, fallback = (read(DeliverySpec, part, field) if part is not None else None for part in (trigger, broker))
    spec = ours or fallback
    sink = (ours and ours.dead_letter_sink) or (fallback and fallback.dead_letter_sink)
    if spec is None:
        return Delivery(BROKER_POLICY)
    return Delivery(
        Policy(
            spec.retry,
            spec.backoff_policy if spec.backoff_delay else None,
            spec.backoff_delay.total_seconds() if spec.backoff_delay else 0.0,
            spec.timeout.total_seconds() if spec.timeout else None,
        ),
        sink or None,
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: ``number`` counts from 1, ``status`` is 0 for no answer, ``reason`` says what went wrong.

    ``retry_after``: seconds that a busy receiver (429, 503) asks to be left alone for.
    """

    number: int
    status: int
    seconds: float
    reason: str = ""
    url: str = ""
    body: bytes = b""
    reply: Event | None = None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300

    def failure(self) -> dict[str, str]:
        """The extensions by which a dead letter says what happened to it; no answer counts as 500."""
        said = base64.b64encode(self.body or self.reason.encode()).decode()[:_ERROR_DATA_LIMIT]
        return {
            "knativeerrordest": self.url,
            "knativeerrorcode": str(self.status or 500),
            "knativeerrordata": said,
        }


class Sender:
    """Sends until delivered, given up or stopped. Thread-safe; ``stopping`` ends a wait between attempts."""

    def __init__(self, client: httpx.Client, stopping: threading.Event) -> None:
        self._client, self._stopping = client, stopping

    def send(
        self,
        content: tuple[Mapping[str, str], bytes],
        find: Callable[[], str],
        policy: Policy,
        *,
        wants_reply: bool = False,
        on_attempt: Callable[[Attempt], None] = lambda _: None,
    ) -> Attempt:
        """The last attempt. ``content`` is headers and body; each attempt asks ``find`` for the address.

        With ``wants_reply`` a 2xx must come with an empty body or a CloudEvent; anything else counts as 502.
        """
        for number in range(1, policy.retry + 2):
            attempt = self._try(number, content, find, policy.timeout, wants_reply)
            on_attempt(attempt)
            last = attempt.delivered or number > policy.retry or not policy.retried(attempt.status)
            if last or self._stopping.wait(policy.wait(number)):
                break
        return attempt

    def _try(
        self,
        number: int,
        content: tuple[Mapping[str, str], bytes],
        find: Callable[[], str],
        timeout: float | httpx.Timeout | None,
        wants_reply: bool,
    ) -> Attempt:
        started, url = time.monotonic(), ""
        headers, body = content
        try:
            url = find()
            response = self._client.post(url, headers=headers, content=body, timeout=timeout)
        except (Unresolved, httpx.HTTPError, httpx.InvalidURL) as error:
            return Attempt(number, 0, time.monotonic() - started, str(error) or type(error).__name__, url)
        except Exception as error:  # noqa: BLE001 - the boundary: what sends must live on, and the event may be buried
            _log.exception("an attempt ended unexpectedly", url=url, number=number)
            return Attempt(number, 0, time.monotonic() - started, f"{type(error).__name__}: {error}", url)
        seconds = time.monotonic() - started
        if not response.is_success:
            return Attempt(
                number,
                response.status_code,
                seconds,
                response.reason_phrase,
                url,
                response.content,
                retry_after=_retry_after(response),
            )
        try:
            reply = _reply(response) if wants_reply else None
        except BadEvent as error:
            return Attempt(number, 502, seconds, str(error), url, response.content)
        return Attempt(number, response.status_code, seconds, "", url, response.content, reply)


def client(mounts: Mounts | None = None) -> httpx.Client:
    """An HTTP client for in-cluster traffic: no proxy of the environment, no redirects."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.Client(trust_env=False, limits=limits, mounts=mounts)


def _retry_after(response: httpx.Response) -> float | None:
    """The header's seconds, also where it says a date; None where it says neither."""
    said = response.headers.get("retry-after", "")
    if response.status_code not in (429, 503) or not said:
        return None
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None


def _reply(response: httpx.Response) -> Event | None:
    structured = response.headers.get("content-type", "").lower().startswith("application/cloudevents")
    if structured or "ce-specversion" in response.headers:
        return parse(response.headers, response.content)
    if response.content:
        raise BadEvent("the answer has a body that is no CloudEvent: answer with an empty body (202 or 204)")
    return None
