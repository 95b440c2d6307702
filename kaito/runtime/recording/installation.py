"""What a function was started with: what it decides by, beside what it observes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from kaito.api.redaction import redacted
from kaito.api.resources import Object

#: What the names of variables begin with that functions read.
_READ: Final = ("KAITO_", "ARM_", "AZURE_CLUSTER_NAME")
_ENDINGS: Final = (".yaml", ".csv")


@dataclass(frozen=True, slots=True)
class Installation:
    """Variables, and by the name of the variable that names their folder, the files of it."""

    environment: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, environment: Mapping[str, str], folders: Mapping[str, Path]) -> Self:
        """As it is: ``folders`` are read where no variable names another. Secrets stay behind."""
        read = {name: value for name, value in environment.items() if name.startswith(_READ)}
        shown = {name: redacted({"name": name, "value": value})["value"] for name, value in read.items()}
        found = {name: Path(environment.get(name) or folder) for name, folder in folders.items()}
        return cls(shown, {name: _texts(folder) for name, folder in found.items()})

    @classmethod
    def from_json(cls, data: Object) -> Self:
        return cls(data["environment"], data["files"])

    def to_json(self) -> Object:
        return {
            "environment": dict(self.environment),
            "files": {name: dict(texts) for name, texts in self.files.items()},
        }

    def restore(self, directory: Path) -> Mapping[str, str]:
        """The variables, with the files in a folder each of the ``directory``."""
        for name, texts in self.files.items():
            (directory / name).mkdir(parents=True)
            for file, text in texts.items():
                (directory / name / Path(file).name).write_text(text)
        return {**self.environment, **{name: str(directory / name) for name in self.files}}


NOTHING: Final = Installation({}, {})


def _texts(folder: Path) -> Mapping[str, str]:
    return {it.name: redacted(it.read_text()) for it in sorted(folder.iterdir()) if it.suffix in _ENDINGS}
