from __future__ import annotations

import pytest

from tests.cluster.commands import CommandError, NeverCame, run, wait_for


def test_it_returns_what_was_printed() -> None:
    assert run("sh", "-c", "echo out; echo err >&2") == "out"


def test_a_failure_says_what_was_run_and_how_it_ended() -> None:
    with pytest.raises(CommandError, match=r"`sh -c .*` failed with exit code 3: \d+\n(.*\n){13}30$"):
        run("sh", "-c", "seq 30 >&2; exit 3")


def test_a_program_that_is_not_here_is_to_be_installed() -> None:
    with pytest.raises(CommandError, match="no-such-program is not here: install it"):
        run("no-such-program")


def test_a_condition_is_asked_until_it_holds() -> None:
    answers = iter((False, False, True))
    wait_for(lambda: next(answers), lambda: "never")
    assert list(answers) == []


def test_what_never_comes_is_named() -> None:
    with pytest.raises(NeverCame, match="no rain yet, after 0 s"):
        wait_for(lambda: False, lambda: "no rain yet", seconds=0)
