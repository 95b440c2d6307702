"""The small model, once for all tests of a worker."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.unit.training.tiny import make_weights  # with libraries that not all of the tests need

    return make_weights(tmp_path_factory.mktemp("weights"))
