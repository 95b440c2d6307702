"""The agent pools of one managed cluster, by Azure's own SDK.

It takes 0.6 s and 40 MB to import, so it is imported when the first ``Pools`` is made. No call waits for an operation
to end, and none is tried again here: the function looks again, when Azure says. Where Azure says that it is asked too
much, it is not asked again until the time that it says; who asks before, hears that from here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self, TypeVar

from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError, is_absent
from functions.provisioner.aks.pool import Pool
from functions.provisioner.settings import ManagedCluster
from kaito.api.resources import Object
from kaito.runtime.plan import Beyond

T = TypeVar("T")
#: Seconds that a call may take to connect, and then until something is read: who calls has many claims to look after.
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 20
#: Seconds that a list is good for, where nothing was written: a sweep asks which claims there are pools of, and then
#: for those pools.
_FRESH: Final = 2.0
#: The answers to which Retry-After is about all calls.
_THROTTLED: Final = (429, 503)


class Pools:
    """All methods raise AzureError. Thread-safe, as the SDK's client is.

    ``cluster``, where a method takes it, tells the Kubernetes cluster from others: its pools are ours. ``clock``:
    seconds that only grow.
    """

    def __init__(self, client: Any, resource_group: str, cluster: str, clock: Callable[[], float]) -> None:
        self._pools, self._of, self._clock = client.agent_pools, (resource_group, cluster), clock
        self._listed: tuple[float, tuple[Object, ...]] | None = None
        self._not_before = -math.inf

    @classmethod
    def of(cls, cluster: ManagedCluster, *, clock: Callable[[], float] = time.monotonic, **options: Any) -> Self:
        """With the identity that the pod or machine has: workload identity, managed identity, Azure CLI.

        ``options`` are the SDK client's, e.g. ``credential`` or ``transport``.
        """
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.containerservice import ContainerServiceClient

        logging.getLogger("azure").setLevel(logging.ERROR)  # what it warns of, an AzureError says
        settings: dict[str, Any] = {
            "retry_total": 0,
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
        }
        if cluster.endpoint:
            settings |= {"base_url": cluster.endpoint, "credential_scopes": [f"{cluster.endpoint}/.default"]}
        if cluster.endpoint.startswith("http:"):
            settings["per_call_policies"] = [_plain_http()]
        # Who gives tokens for a cloud of one's own is not known to the public cloud, which may be out of reach.
        private = {"disable_instance_discovery": True} if cluster.endpoint else {}
        credential = options.pop("credential", None) or DefaultAzureCredential(**private)
        client = ContainerServiceClient(credential, cluster.subscription, **settings | options)
        return cls(client, cluster.resource_group, cluster.name, clock)

    def get(self, name: str, cluster: str) -> Pool | None:
        try:
            return Pool.of(self._ask(lambda: self._pools.get(*self._of, name)).as_dict(), cluster)
        except AzureError as error:
            if is_absent(error):
                return None
            raise

    def list(self, cluster: str) -> tuple[Pool, ...]:
        """All of the managed cluster, somebody else's too."""

        def read() -> Iterable[Any]:
            return list(self._pools.list(*self._of))  # read in pages, as it is iterated

        now, listed = self._clock(), self._listed
        if listed is None or now - listed[0] > _FRESH:
            self._listed = listed = now, tuple(found.as_dict() for found in self._ask(read))
        return tuple(Pool.of(found, cluster) for found in listed[1])

    def run(self, effect: Beyond) -> None:
        """Ask for it; Azure is not done with it when this returns."""
        from azure.core import MatchConditions

        self._listed = None
        match effect:
            case CreatePool():
                missing = MatchConditions.IfMissing
                self._begin("begin_create_or_update", effect.name, effect.body, match_condition=missing)
            case DeletePool():
                same = {"etag": effect.etag, "match_condition": MatchConditions.IfNotModified} if effect.etag else {}
                self._unless_absent(lambda: self._begin("begin_delete", effect.name, **same))
            case AbortPool():
                self._unless_absent(lambda: self._begin("begin_abort_latest_operation", effect.name))
            case _:
                raise TypeError(f"{effect} is not for Azure")

    def _begin(self, method: str, *arguments: Any, **options: Any) -> None:
        self._ask(lambda: getattr(self._pools, method)(*self._of, *arguments, polling=False, **options))

    def _unless_absent(self, call: Callable[[], None]) -> None:
        try:
            call()
        except AzureError as error:
            if not is_absent(error):
                raise

    def _ask(self, call: Callable[[], T]) -> T:
        left = self._not_before - self._clock()
        if left > 0:
            raise AzureError(429, "TooManyRequests", "Azure has asked not to be asked for a while", left)
        try:
            return _asked(call)
        except AzureError as error:
            if error.status in _THROTTLED and error.retry_after:
                self._not_before = self._clock() + error.retry_after
            raise


def _plain_http() -> Any:
    """A policy that lets a token go over plain HTTP, as to loopback, where alone an endpoint may be so."""
    from azure.core.pipeline import PipelineRequest
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class PlainHttp(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: PipelineRequest[Any]) -> None:
            request.context.options["enforce_https"] = False

    return PlainHttp()


def _asked(call: Callable[[], T]) -> T:
    """The SDK's errors as ours."""
    from azure.core.exceptions import AzureError as SdkError
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    try:
        return call()
    except HttpResponseError as error:
        code, message = _words(error)
        status = error.status_code or (401 if isinstance(error, ClientAuthenticationError) else 0)
        raise AzureError(status, code, message, _retry_after(error.response)) from error
    except SdkError as error:  # no answer
        raise AzureError(0, type(error).__name__, str(error)) from error


def _words(error: Any) -> tuple[str, str]:
    """Code and message; AKS sends them without the envelope that the SDK expects, too."""
    if error.error is not None and error.error.code:
        return str(error.error.code), str(error.error.message)
    try:
        body = json.loads(error.response.text())
        body = body.get("error", body)
        return str(body.get("code") or ""), str(body.get("message") or error.message)
    except (AttributeError, ValueError):
        return "", str(error.message)


def _retry_after(response: Any) -> float | None:
    """Seconds; HTTP has a number or a date there. None for anything else."""
    from azure.core.pipeline.policies import RetryPolicy

    value = response.headers.get("Retry-After") if response is not None else None
    with contextlib.suppress(ValueError, TypeError):
        return RetryPolicy().parse_retry_after(value) if value is not None else None
    return None
