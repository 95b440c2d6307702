"""What an installation may say of its recorder."""

from __future__ import annotations

import pytest

from eventing.recorder.settings import Settings


def test_without_a_word_it_is_a_week_in_a_file() -> None:
    settings = Settings.from_environment({})
    assert settings.database.render_as_string() == "sqlite:////var/lib/kaito/recordings.db"
    assert (settings.retention, settings.most) == (7 * 86_400, 1 << 30)


def test_all_of_it_can_be_said() -> None:
    settings = Settings.from_environment(
        {
            "KAITO_RECORDER_DATABASE": "postgresql://kaito:c4n4ry@db.example.com/recordings",
            "KAITO_RECORDER_RETENTION": "1h30m",
            "KAITO_RECORDER_MEGABYTES": "2",
        }
    )
    assert settings.database.render_as_string() == "postgresql://kaito:***@db.example.com/recordings"
    assert settings.database.get_dialect().driver == "psycopg"
    assert (settings.retention, settings.most) == (5400, 2 << 20)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"KAITO_RECORDER_DATABASE": "c4n4ry"}, "KAITO_RECORDER_DATABASE must be sqlite:////FILE or postgresql://"),
        ({"KAITO_RECORDER_DATABASE": "mysql://a:c4n4ry@b/c"}, "KAITO_RECORDER_DATABASE must be"),
        ({"KAITO_RECORDER_DATABASE": "postgresql://a:c4n4ry@b:port/c"}, "KAITO_RECORDER_DATABASE must be"),
        ({"KAITO_RECORDER_DATABASE": "sqlite://"}, "KAITO_RECORDER_DATABASE must be"),
        ({"KAITO_RECORDER_RETENTION": "7d"}, "KAITO_RECORDER_RETENTION: '7d' is not a duration like 30s, 10m or 1h"),
        ({"KAITO_RECORDER_MEGABYTES": "0"}, "KAITO_RECORDER_MEGABYTES is '0'; it must be a number of megabytes"),
    ],
)
def test_what_cannot_be_is_said_without_a_password(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match="KAITO_RECORDER_") as error:
        Settings.from_environment(environment)
    assert str(error.value).startswith(said)
    assert "c4n4ry" not in str(error.value)
