"""The seeded runs of ``make chaos``: some of them each time, and that they can fail."""

from __future__ import annotations

import pytest

from functions.provisioner.aks import client
from functions.provisioner.aks.failure import AzureError
from tests.chaos.run import run


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_it_comes_right(seed: int) -> None:
    found = run(seed)
    assert not found.wrong, "\n".join(found.history)


def test_a_run_is_always_the_same() -> None:
    assert run(7).history == run(7).history


def test_a_client_that_takes_any_error_for_absence_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_error(_error: AzureError) -> bool:
        return True

    monkeypatch.setattr(client, "is_absent", any_error)
    assert any(run(seed).wrong["leaked"] for seed in range(60))
