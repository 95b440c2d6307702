"""What Azure is seen to do wrong, at random; the same for the same seed and requests."""

from __future__ import annotations

import math
import random
from typing import Final

from kaito.embedded.arm.emulator import CANCELED, NO_FAULT, Fault, Faults, Response

#: What operations fail with.
OUTCOMES: Final = (
    ("AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size"),
    ("OverconstrainedZonalAllocationRequest", "Overconstrained allocation"),
    ("OperationNotAllowed", "Operation could not be completed as it results in exceeding approved Family Cores quota"),
    ("SkuNotAvailable", "The requested size is not available in location 'here'"),
    (CANCELED, "The operation was overridden by a later operation"),
    ("RequestDisallowedByPolicy", "Resource was disallowed by policy"),
    ("InternalOperationError", "something went wrong"),
)
#: What requests are answered with.
ANSWERS: Final = (
    Response(409, {"code": "OperationNotAllowed", "message": "Another agentpool operation is in progress"}),
    Response(429, {"code": "TooManyRequests", "message": "slow down"}, {"Retry-After": "20"}),
    Response(429, {"code": "TooManyRequests", "message": "slow down"}),
    Response(500, {"error": {"code": "InternalServerError", "message": "oops"}}),
    Response(503, None),
    Response(400, {"code": "ErrCode_InsufficientVCPUQuota", "message": "Insufficient vcpu quota"}),
    Response(409, {"error": {"code": "ScopeLocked", "message": "the scope is locked"}}),
)
#: Of a pool that is made: its node comes late, never, or twice.
NODES: Final = (Fault(late=300), Fault(late=math.inf), Fault(nodes=2))
#: How often a read, and how often a write goes wrong.
READS, WRITES = 0.15, 0.4


def seeded(dice: random.Random) -> Faults:
    """Faults of every kind."""

    def fault(method: str, _name: str) -> Fault:
        reading = method in ("GET", "LIST")
        if dice.random() > (READS if reading else WRITES):
            return NO_FAULT
        if reading or dice.random() < 0.5:
            return Fault(dice.choice(ANSWERS), done=dice.random() < 0.4)
        if method == "PUT" and dice.random() < 0.3:
            return dice.choice(NODES)
        return Fault(outcome=dice.choice(OUTCOMES), forever=dice.random() < 0.2)

    return fault
