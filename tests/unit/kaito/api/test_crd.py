"""The generated manifests are what the types say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaito.api.crd import CRDS, EMBEDDED_CRDS, rendered


@pytest.mark.parametrize(("path", "text"), rendered().items(), ids=lambda item: getattr(item, "name", ""))
def test_what_is_under_config_is_what_the_types_say(path: Path, text: str) -> None:
    assert path.read_text() == text, "run python -m kaito.api.crd"


@pytest.mark.parametrize("definition", [*CRDS, *EMBEDDED_CRDS], ids=lambda definition: definition.kind)
def test_schemas_are_structural(definition: object) -> None:
    text = next(text for path, text in rendered().items() if path.name == definition.file_name)  # type: ignore[attr-defined]
    assert "$ref" not in text
    assert "anyOf:\n" not in text.replace("x-kubernetes-int-or-string: true", "") or "int-or-string" in text
    assert "title:" not in text
