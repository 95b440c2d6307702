"""Faults by a seed: of every kind, and the same ones again."""

from __future__ import annotations

import random

from kaito.embedded.arm.emulator import NO_FAULT
from kaito.embedded.arm.faults import ANSWERS, NODES, OUTCOMES, seeded


def test_a_seed_gives_faults_of_every_kind_and_always_the_same() -> None:
    one, same = seeded(random.Random(3)), seeded(random.Random(3))
    asked = [("PUT", "a"), ("GET", "a"), ("DELETE", "a"), ("LIST", "")] * 500
    faults = [one(*request) for request in asked]
    assert faults == [same(*request) for request in asked]
    assert all(any(fault.response is answer for fault in faults) for answer in ANSWERS)
    assert {fault.outcome for fault in faults if fault.outcome} == set(OUTCOMES)
    assert all(fault in faults for fault in NODES)
    assert any(fault.done for fault in faults)
    assert any(fault.forever for fault in faults)
    assert NO_FAULT in faults


def test_a_read_goes_wrong_only_in_its_answer() -> None:
    fault = seeded(random.Random(3))
    assert all(it == NO_FAULT or it.response for it in (fault("GET", "a") for _ in range(500)))
