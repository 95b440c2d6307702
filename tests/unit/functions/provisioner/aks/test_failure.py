"""What Azure's errors mean, in the words that they were seen in."""

from __future__ import annotations

import pytest

from functions.provisioner.aks.failure import AzureError, Cause, Failure, classify, is_absent

SAID = "it said"


@pytest.mark.parametrize(
    ("status", "code", "message", "cause", "reason"),
    [
        (400, "ErrCode_InsufficientVCPUQuota", "Insufficient vcpu quota", Cause.QUOTA, "SubscriptionQuotaReached"),
        (
            200,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved standardNCSv3 Family Cores quota",
            Cause.QUOTA,
            "SubscriptionQuotaReached",
        ),
        (200, "OperationNotAllowed", "exceeding approved LowPriorityCores quota", Cause.QUOTA, "SpotQuotaReached"),
        (
            200,
            "OperationNotAllowed",
            "exceeding approved Total Regional Cores quota",
            Cause.QUOTA,
            "RegionalQuotaReached",
        ),
        (
            409,
            "OperationNotAllowed",
            "Operation is not allowed: Another agentpool operation (a - Creating) is in progress",
            Cause.BUSY,
            "ClusterBusy",
        ),
        (200, "Canceled", "was overridden by a later operation", Cause.BUSY, "ClusterBusy"),
        (
            400,
            "BadRequest",
            "The VM size of Standard_NC96 is not allowed in your subscription in location 'westus'",
            Cause.SKU,
            "SkuNotAvailable",
        ),
        (200, "SkuNotAvailable", SAID, Cause.SKU, "SkuNotAvailable"),
        (200, "ZonalAllocationFailed", SAID, Cause.CAPACITY, "InsufficientCapacity"),
        (200, "OverconstrainedAllocationRequest", SAID, Cause.CAPACITY, "InsufficientCapacity"),
        (404, "ResourceGroupNotFound", SAID, Cause.CONFIGURATION, "AzureConfiguration"),
        (403, "AuthorizationFailed", SAID, Cause.CONFIGURATION, "AzureUnauthorized"),
        (401, "", SAID, Cause.CONFIGURATION, "AzureUnauthorized"),
        (429, "TooManyRequests", SAID, Cause.THROTTLED, "AzureThrottled"),
        (412, "PreconditionFailed", SAID, Cause.BUSY, "ClusterBusy"),
        (503, "", SAID, Cause.TRANSIENT, "AzureUnavailable"),
        (0, "ServiceRequestError", SAID, Cause.TRANSIENT, "AzureUnavailable"),
        (403, "RequestDisallowedByPolicy", SAID, Cause.CONFIGURATION, "AzureConfiguration"),
        (409, "ScopeLocked", SAID, Cause.CONFIGURATION, "AzureConfiguration"),
        (409, "MissingSubscriptionRegistration", SAID, Cause.CONFIGURATION, "AzureConfiguration"),
        (
            400,
            "ErrCode_InsufficientVCPUQuota",
            "left regional vcpu quota 4, requested quota 12",
            Cause.QUOTA,
            "RegionalQuotaReached",
        ),
        (400, "InvalidParameter", SAID, Cause.REFUSED, "LaunchFailed"),
    ],
)
def test_an_error_is_about(status: int, code: str, message: str, cause: Cause, reason: str) -> None:
    failure = classify(AzureError(status, code, message))
    assert (failure.cause, failure.reason) == (cause, reason)
    assert message in failure.message, "Azure's own words are kept"


def test_a_pause_grows_from_round_to_round_up_to_a_limit() -> None:
    failure = Failure(Cause.QUOTA, "SubscriptionQuotaReached", SAID)
    assert [failure.pause(rounds) for rounds in (0, 1, 2, 3, 99)] == [600, 1200, 2400, 3600, 3600]


def test_azure_says_itself_how_long_to_wait() -> None:
    assert classify(AzureError(429, "TooManyRequests", SAID, retry_after=7)).pause(5) == 7
    assert classify(AzureError(400, "SkuNotAvailable", SAID, retry_after=7)).pause(0) == 3600, "or longer"


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (AzureError(404, "NotFound", "Agent Pool a not found."), True),
        (AzureError(404, "", "Agent Pool not found"), True),
        (AzureError(404, "ResourceGroupNotFound", "Resource group 'a' could not be found."), False),
        (AzureError(404, "ResourceNotFound", "The Resource 'managedClusters/a' was not found."), False),
        (AzureError(404, "SubscriptionNotFound", "The subscription 'a' could not be found."), False),
        (AzureError(503, "NotFound", SAID), False),
    ],
)
def test_only_a_pool_that_is_not_there_is_absent(error: AzureError, absent: bool) -> None:
    assert is_absent(error) is absent
