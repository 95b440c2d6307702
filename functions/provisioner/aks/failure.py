"""What Azure's errors mean for an agent pool, and how long to leave it alone then. Pure.

The same code means several things there (``OperationNotAllowed`` is a quota, or another operation under way), so the
text is asked first. What is known of codes and texts is of AKS' own issues and its clients' (karpenter-provider-azure,
gpu-provisioner, Terraform).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kaito.runtime.plan import WriteError

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE


class Cause(Enum):
    """Why it did not work, as far as it decides what to do next."""

    BUSY = auto()  # another operation of the cluster is under way
    THROTTLED = auto()
    TRANSIENT = auto()  # no answer, or a 5xx
    CONFIGURATION = auto()  # credentials, subscription, resource group, cluster
    CAPACITY = auto()  # Azure has no such machine just now
    QUOTA = auto()
    SKU = auto()  # not sold to this subscription here
    REFUSED = auto()  # whatever else Azure says of the agent pool
    UNHEALTHY = auto()  # it was there and worked, and does no more

    @property
    def is_the_pools(self) -> bool:
        """Is it an answer about what was asked for? Else it says nothing of it, and nothing was tried."""
        return self.is_the_types or self is Cause.REFUSED

    @property
    def is_the_types(self) -> bool:
        """Is it about the instance type, so that another one may be had?"""
        return self in (Cause.CAPACITY, Cause.QUOTA, Cause.SKU)

    @property
    def passes(self) -> bool:
        """Will it pass by itself? Else a person has to act."""
        return self in (Cause.BUSY, Cause.THROTTLED, Cause.TRANSIENT, Cause.UNHEALTHY)


#: Seconds until it is tried again: the first time, and at most; doubled in between.
_PAUSES: Final[Mapping[Cause, tuple[float, float]]] = {
    Cause.BUSY: (15, 15),
    Cause.THROTTLED: (30, 30),
    Cause.TRANSIENT: (10, 10),
    Cause.CONFIGURATION: (MINUTE, MINUTE),
    Cause.CAPACITY: (MINUTE, 30 * MINUTE),
    Cause.QUOTA: (10 * MINUTE, HOUR),
    Cause.SKU: (HOUR, 6 * HOUR),
    Cause.REFUSED: (2 * MINUTE, HOUR),
    Cause.UNHEALTHY: (0, 0),
}


class AzureError(WriteError):
    """Azure refused or did not answer. ``status``: of HTTP, 0 for no answer, 200 for an operation that failed later.
    ``retry_after``: seconds that it asks to wait, None where it does not."""

    permanent = True  # as far as the very same call goes: what to do instead is the function's to decide

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code or status}: {message}")
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass(frozen=True, slots=True)
class Failure:
    """``reason``: of a condition; ``message``: Azure's own words, after what to do where that is known."""

    cause: Cause
    reason: str
    message: str
    retry_after: float | None = None

    def pause(self, rounds: int) -> float:
        """Seconds to leave it alone after so many failures of this kind of all instance types, from 0."""
        first, most = _PAUSES[self.cause]
        ours: float = min(most, first * 2.0 ** min(rounds, 16))
        if self.retry_after is None:
            return ours
        return self.retry_after if self.cause.passes else max(ours, self.retry_after)


#: By text, the first that fits.
_TEXTS: Final = tuple(
    (re.compile("|".join(patterns), re.IGNORECASE), cause, reason)
    for cause, reason, *patterns in (
        (Cause.QUOTA, "RegionalQuotaReached", r"regional (spot )?(v?cpus?|cores?)"),
        (Cause.QUOTA, "SpotQuotaReached", "lowprioritycores", "low priority cores", "spot.*quota"),
        (
            Cause.QUOTA,
            "SubscriptionQuotaReached",
            r"family (v?cpus?|cores?) quota",
            "insufficientvcpuquota",
            "quota ?exceeded",
            r"exceed\w* .*quota",
        ),
        (
            Cause.SKU,
            "SkuNotAvailable",
            "not allowed in your subscription in location",
            "skunotavailable",
            "not (available|supported) in location",
        ),
        (
            Cause.CAPACITY,
            "InsufficientCapacity",
            "allocation ?failed",
            "overconstrained",
            "not have sufficient capacity",
        ),
        (
            Cause.BUSY,
            "ClusterBusy",
            "another (agentpool )?operation",
            "operation .*in progress",
            "overridden by a later operation",
        ),
    )
)
#: What a person has to do where a code says so.
_CONFIGURATION: Final = {
    "ResourceGroupNotFound": "set ARM_RESOURCE_GROUP to the cluster's resource group",
    "ParentResourceNotFound": "set AZURE_CLUSTER_NAME and ARM_RESOURCE_GROUP to this cluster's",
    "ResourceNotFound": "set AZURE_CLUSTER_NAME and ARM_RESOURCE_GROUP to this cluster's",
    "SubscriptionNotFound": "set ARM_SUBSCRIPTION_ID to the cluster's subscription",
    "InvalidSubscriptionId": "set ARM_SUBSCRIPTION_ID to the cluster's subscription",
    "MissingSubscriptionRegistration": "register the resource provider that the message names with the subscription",
    "RequestDisallowedByPolicy": "have the policy that the message names allow KAITO's agent pools",
    "ScopeLocked": "remove the lock that the message names",
    "AuthorizationFailed": "give the function's identity the role Contributor on the managed cluster",
    "LinkedAuthorizationFailed": "give the function's identity the role Contributor on what the message names",
}
_POLICY: Final = "RequestDisallowedByPolicy"


def is_absent(error: AzureError) -> bool:
    """Does it say that there is no such agent pool, and not that there is no such cluster?"""
    return error.status == 404 and (error.code == "NotFound" or "agent pool" in error.message.lower())


def classify(error: AzureError) -> Failure:
    """What an error is about."""
    said = f"{error.code}: {error.message}" if error.code else error.message
    # Of a pool in a cluster or group that is not there: not a word about the pool.
    if error.status in (401, 403) or error.code in _CONFIGURATION:
        todo = _CONFIGURATION.get(error.code, "check the function's credentials")
        unauthorized = error.status in (401, 403) and error.code != _POLICY
        reason = "AzureUnauthorized" if unauthorized else "AzureConfiguration"
        return Failure(Cause.CONFIGURATION, reason, f"{todo} ({said})", error.retry_after)
    for text, cause, reason in _TEXTS:
        if text.search(said):
            return Failure(cause, reason, said, error.retry_after)
    if error.status == 429:
        return Failure(Cause.THROTTLED, "AzureThrottled", said, error.retry_after)
    if error.status in (409, 412):
        return Failure(Cause.BUSY, "ClusterBusy", said, error.retry_after)
    if error.status in (0, 408) or error.status >= 500:
        return Failure(Cause.TRANSIENT, "AzureUnavailable", said, error.retry_after)
    return Failure(Cause.REFUSED, "LaunchFailed", said, error.retry_after)
