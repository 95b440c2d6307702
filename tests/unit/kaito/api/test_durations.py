from __future__ import annotations

import pytest

from kaito.api.durations import seconds


@pytest.mark.parametrize(
    ("duration", "expected"), [("30s", 30), ("10m", 600), ("1h30m", 5400), ("1h0m0s", 3600), ("1.5s", 1.5), ("0s", 0)]
)
def test_seconds(duration: str, expected: float) -> None:
    assert seconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "30", "s", "30 s", "-1s", "1d", "x30s"])
def test_what_is_no_duration(duration: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(duration)
