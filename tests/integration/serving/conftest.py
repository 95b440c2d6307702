"""The real model, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaito.embedded.cache import cache_dir
from kaito.embedded.models import SMOLLM2, ModelStore


@pytest.fixture(scope="session")
def weights() -> Path:
    store = ModelStore(cache_dir())
    store.prepare(lambda stage, done, total: None)
    content = store.resolve(SMOLLM2.image)
    assert content is not None
    return content / "weights"
