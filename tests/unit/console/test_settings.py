"""What an installation may say, and what it is told where it says what cannot be."""

from __future__ import annotations

import pytest

from console.settings import RECORDER, Settings


def test_without_a_word() -> None:
    settings = Settings.from_environment({})
    assert (settings.recorder, settings.window, settings.rows) == (RECORDER, 86_400, 10_000)
    assert {"localhost", "127.0.0.1", "kaito-console.kaito-system.svc.cluster.local"} <= settings.hosts
    assert not any("," in it or it == "" for it in settings.hosts)


def test_what_is_said() -> None:
    said = {
        "KAITO_CONSOLE_RECORDER": "",
        "KAITO_CONSOLE_WINDOW": "1h30m",
        "KAITO_CONSOLE_ROWS": "500",
        "KAITO_CONSOLE_HOSTS": "console.example.com, Kaito.Example.com",
    }
    settings = Settings.from_environment(said)
    assert (settings.recorder, settings.window, settings.rows) == ("", 5400, 500)
    assert {"console.example.com", "kaito.example.com"} <= settings.hosts


@pytest.mark.parametrize(
    ("name", "value"),
    [("RECORDER", "file:///x"), ("WINDOW", "1"), ("ROWS", "99"), ("ROWS", "many")],
)
def test_what_cannot_be(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"KAITO_CONSOLE_{name}"):
        Settings.from_environment({f"KAITO_CONSOLE_{name}": value})
