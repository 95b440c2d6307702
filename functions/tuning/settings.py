"""What an installation decides, from the environment of the function's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from kaito.api.training import Method, TrainingConfigError, training_config

TRAINING_IMAGE: Final = "kaito/training:0.1.0"
SHIPPED: Final = Path(__file__).parent / "templates"
FOLDER_VARIABLE: Final = "KAITO_TUNING_TEMPLATES"


@dataclass(frozen=True, slots=True)
class Settings:
    """``training_image`` holds no weights; ``templates``: a training_config.yaml a method, for Workspaces without one;
    ``image_volumes``: the cluster's kubelets mount images; ``private_urls``: data may come from private addresses;
    ``trust_bundle``: the ConfigMap of each namespace that says whom to trust, if any."""

    training_image: str = TRAINING_IMAGE
    templates: Mapping[str, str] = field(default_factory=dict)
    image_volumes: bool = True
    private_urls: bool = False
    trust_bundle: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        return cls(
            environment.get("KAITO_TRAINING_IMAGE", TRAINING_IMAGE),
            templates(Path(environment.get(FOLDER_VARIABLE, SHIPPED))),
            image_volumes=_flag(environment, "KAITO_IMAGE_VOLUMES", default=True),
            private_urls=_flag(environment, "KAITO_PRIVATE_DATA_URLS", default=False),
            trust_bundle=environment.get("KAITO_TRUST_BUNDLE", ""),
        )


def templates(folder: Path) -> Mapping[str, str]:
    """The training_config.yaml of each method: in ``folder``, or what ships. Raises ValueError where one is wrong."""
    found = {}
    for method in get_args(Method):
        own = folder / f"{method}.yaml"
        file = own if own.is_file() else SHIPPED / own.name
        found[method] = file.read_text()
        try:
            training_config(found[method], method)
        except TrainingConfigError as error:
            raise ValueError(f"{file}: {error}") from error
    return found


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    given = environment.get(name, str(default).lower())
    if given not in ("true", "false"):
        raise ValueError(f"{name} is {given!r}; it must be true or false")
    return given == "true"
