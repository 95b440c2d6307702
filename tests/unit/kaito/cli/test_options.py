"""The forms in which a Workspace is named."""

from __future__ import annotations

import pytest
import typer

from kaito.cli.options import named


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("phi", ""), ("", "phi")),
        (("phi", "ml"), ("ml", "phi")),
        (("ml/phi", ""), ("ml", "phi")),
        (("ml/phi", "ml"), ("ml", "phi")),
        (("workspace/phi", ""), ("", "phi")),
        (("workspace/phi", "ml"), ("ml", "phi")),
        (("Workspaces.kaito.sh/phi", ""), ("", "phi")),
        (("workspace/ml/phi", ""), ("ml", "phi")),
        (("workspace", ""), ("", "workspace")),
    ],
)
def test_a_workspace_is_named_in_any_form(given: tuple[str, str], found: tuple[str, str]) -> None:
    assert named(*given) == found


@pytest.mark.parametrize("text", ["", "/", "ml/", "/phi", "a/b/c", "workspace/", "workspace/a/b/c"])
def test_what_names_none_is_said(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give NAME, NAMESPACE/NAME or workspace/NAME"):
        named(text, "")


def test_two_namespaces_are_one_too_many() -> None:
    with pytest.raises(typer.BadParameter, match="is in the namespace ml, and -n says other: leave one of them out"):
        named("ml/phi", "other")
