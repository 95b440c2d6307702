"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """What a test has programs say elsewhere, or in another form, the next one does not."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
