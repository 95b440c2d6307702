"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer

from kaito.cli.main import app
from kaito.cli.reference import FILE, MARK, rendered


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for word, command in group.commands.items():
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")


EVERY = dict(commands(typer.main.get_group(app), "kaito"))


def test_the_file_is_what_the_commands_say() -> None:
    assert FILE.read_text().partition(MARK)[2] == f"\n{rendered()}", "run python -m kaito.cli.reference"


@pytest.mark.parametrize("name", EVERY)
def test_each_has_its_place_and_an_example_that_can_be_typed(name: str) -> None:
    command = EVERY[name]
    assert f"\n### {name}\n" in rendered()
    example = (command.epilog or "").removeprefix("Example: ").partition(" | ")[0]
    assert example == name or example.startswith(f"{name} ")
    words = [it.strip('"') for it in example.removeprefix(name).split()]
    options = {it for param in command.params for it in (*param.opts, *param.secondary_opts)}
    assert {it for it in words if it.startswith("-")} <= options


def test_what_answers_with_data_answers_with_json_too() -> None:
    without = {
        name for name, it in EVERY.items() if "--output" not in {opt for param in it.params for opt in param.opts}
    }
    assert without == {
        "kaito catalogue",  # YAML, for kubectl
        "kaito console",
        "kaito demo",
        "kaito down",
        "kaito events import",
        "kaito up",
    }
