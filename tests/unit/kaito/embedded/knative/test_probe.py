from __future__ import annotations

from collections.abc import Iterable

import pytest

from kaito.embedded.knative.probe import Probe, Probing


def verdicts(
    answers: Iterable[bool], *, eager: bool = False, failures: int = 2, successes: int = 1
) -> list[tuple[bool | None, float]]:
    """After each answer: the verdict, and when it asks next, with a clock that jumps to when it is due."""
    script = iter(answers)
    probe = Probe(lambda: next(script), 1.0, 0.0, failures, successes)
    probing = Probing(probe, 0.0, eager=eager)
    seen = []
    for _ in list(answers):
        probing.ask(lambda: probing.due)
        seen.append((probing.verdict, round(probing.due, 3)))
    return seen


@pytest.mark.parametrize(
    ("answers", "successes", "expected"),
    [
        ([True], 1, [True]),
        ([False, False], 1, [None, False]),
        ([False, True, False, False], 1, [None, True, True, False]),
        ([True, True], 2, [None, True]),
        ([True, False, True, True], 2, [None, None, None, True]),
        ([False, False, True], 1, [None, False, True]),
    ],
)
def test_thresholds(answers: list[bool], successes: int, expected: list[bool | None]) -> None:
    assert [verdict for verdict, _ in verdicts(answers, successes=successes)] == expected


def test_eager_asks_often_and_is_not_less_patient() -> None:
    seen = verdicts([False] * 10, eager=True)
    assert [verdict for verdict, _ in seen] == [None] * 9 + [False]
    assert seen[-1][1] == 2.0


def test_after_the_first_success_its_own_period() -> None:
    seen = verdicts([False, True, True], eager=True)
    assert [due for _, due in seen] == [0.2, 0.4, 1.4]
