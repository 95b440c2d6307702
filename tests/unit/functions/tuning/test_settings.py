"""What an installation may say, and what it is told where it says too little."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from functions.tuning.settings import TRAINING_IMAGE, Settings, templates
from kaito.embedded.manifests import CONFIG
from tests.unit.functions.tuning.scenes import FOLDER

GIVEN = {"KAITO_TUNING_TEMPLATES": str(FOLDER)}


def test_nothing_has_to_be_said() -> None:
    assert (
        Settings.from_environment({}) == Settings.from_environment(GIVEN) == Settings(TRAINING_IMAGE, templates(FOLDER))
    )


def test_each_is_said_by_a_variable() -> None:
    said = {
        "KAITO_TRAINING_IMAGE": "a:1",
        "KAITO_IMAGE_VOLUMES": "false",
        "KAITO_PRIVATE_DATA_URLS": "true",
        "KAITO_TRUST_BUNDLE": "trusted",
    }
    found = Settings.from_environment({**GIVEN, **said})
    assert found == Settings("a:1", templates(FOLDER), image_volumes=False, private_urls=True, trust_bundle="trusted")


def test_the_service_says_nothing_that_is_not_read() -> None:
    service = yaml.safe_load((CONFIG / "functions" / "tuning.yaml").read_text())
    (container,) = service["spec"]["template"]["spec"]["containers"]
    said = {it["name"]: it["value"] for it in container["env"]}
    assert Settings.from_environment({**said, **GIVEN}) == Settings.from_environment(GIVEN)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_templates_are_what_is_installed(method: str) -> None:
    assert templates(FOLDER)[method] == (FOLDER / f"{method}.yaml").read_text()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({**GIVEN, "KAITO_IMAGE_VOLUMES": "no"}, "KAITO_IMAGE_VOLUMES is 'no'; it must be true or false"),
        ({**GIVEN, "KAITO_PRIVATE_DATA_URLS": ""}, "KAITO_PRIVATE_DATA_URLS is ''; it must be true or false"),
    ],
)
def test_what_is_wrong_is_said_by_name(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.from_environment(environment)


def test_an_installations_own_template_goes_before_what_ships(tmp_path: Path) -> None:
    own = (FOLDER / "lora.yaml").read_text() + "# ours\n"
    (tmp_path / "lora.yaml").write_text(own)
    found = Settings.from_environment({"KAITO_TUNING_TEMPLATES": str(tmp_path)}).templates
    assert found == {"lora": own, "qlora": (FOLDER / "qlora.yaml").read_text()}


def test_a_template_that_is_wrong_is_said_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "qlora.yaml").write_text((FOLDER / "lora.yaml").read_text())
    with pytest.raises(ValueError, match=r"qlora\.yaml: QuantizationConfig: method qlora needs"):
        templates(tmp_path)
