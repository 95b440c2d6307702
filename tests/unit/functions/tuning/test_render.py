"""The Job that tunes: golden files of every kind, what each container may, and that all mounts are there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from functions.tuning.observed import Observed
from functions.tuning.render import DIGEST, template
from functions.tuning.work import Work, work
from kaito.api.resources import Object
from kaito.api.training import TAKEN
from kaito.api.workspace import Workspace
from tests.unit.functions.tuning.matrix import GOLDEN, PULLED, SCENES, made, rendered, text
from tests.unit.functions.tuning.scenes import CATALOGUE, LORA, SETTINGS, workspace

scenes = pytest.mark.parametrize("scene", sorted(SCENES))


def pod(job: Object) -> Object:
    spec: Object = job["spec"]["template"]["spec"]
    return spec


def containers(scene: str) -> list[Object]:
    """In the order in which they run."""
    spec = pod(rendered(scene))
    return [*spec.get("initContainers", ()), *spec["containers"]]


def container(scene: str, name: str) -> Object:
    return next(it for it in containers(scene) if it["name"] == name)


@scenes
def test_it_is_rendered_as_the_golden_file_says(scene: str) -> None:
    assert text(scene) == (GOLDEN / f"{scene}.yaml").read_text()


def test_there_is_no_golden_file_of_nothing() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(SCENES)


@pytest.mark.parametrize(
    ("scene", "names"),
    [
        ("urls-to-image", ["check", "fetch", "train", "push"]),
        ("image-to-image", ["check", "train", "push"]),
        ("volume-to-volume", ["train"]),
        ("urls-to-volume-on-gpus", ["fetch", "train"]),
        ("pulled-image-to-image", ["check", "pull-model", "pull-data", "train", "push"]),
        ("pulled-urls-to-image", ["check", "pull-model", "fetch", "train", "push"]),
    ],
)
def test_one_goes_after_the_other(scene: str, names: list[str]) -> None:
    assert [it["name"] for it in containers(scene)] == names


@scenes
def test_each_fits_the_restricted_profile_and_knows_no_token(scene: str) -> None:
    assert pod(rendered(scene))["automountServiceAccountToken"] is False
    for it in containers(scene):
        assert it["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }


@scenes
def test_what_is_mounted_is_there_once_and_no_volume_is_for_nothing(scene: str) -> None:
    names = [volume["name"] for volume in pod(rendered(scene))["volumes"]]
    assert len(names) == len(set(names))
    assert {mount["name"] for it in containers(scene) for mount in it["volumeMounts"]} == set(names)
    for it in containers(scene):
        paths = [mount["mountPath"] for mount in it["volumeMounts"]]
        assert len(paths) == len(set(paths))


@scenes
def test_the_secret_to_push_with_is_theirs_who_ask_and_push(scene: str) -> None:
    holders = [it["name"] for it in containers(scene) if "push-secret" in str(it["volumeMounts"])]
    assert holders == (["check", "push"] if "-to-image" in scene else [])


@scenes
def test_results_may_be_where_nothing_else_is(scene: str) -> None:
    """Of what a container has that sees the results; output_dir is refused for just these."""
    seen = [it for it in containers(scene) if it["name"] in ("train", "push")]
    paths = {mount["mountPath"] for it in seen for mount in it["volumeMounts"] if mount["name"] != "results"}
    assert {path.removeprefix("/mnt/") for path in paths if path.startswith("/mnt/")} <= set(TAKEN)


def test_a_process_for_each_gpu_of_the_node() -> None:
    train = container("urls-to-volume-on-gpus", "train")
    assert train["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert "--processes=4" in train["args"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in train["volumeMounts"]


def test_a_model_that_needs_no_gpu_takes_none() -> None:
    train = container("urls-to-image", "train")
    assert "resources" not in train
    assert "--processes=1" in train["args"]
    assert "tolerations" not in pod(rendered("urls-to-image"))


def test_a_brought_node_gives_as_many_gpus_as_the_model_needs() -> None:
    needs = CATALOGUE.models["phi-3-mini-4k-instruct"].tuning
    assert needs is not None
    train = container("urls-to-image-on-brought-node", "train")
    assert train["resources"]["limits"] == {"nvidia.com/gpu": str(needs.gpus)}


def test_what_a_workspace_gives_to_be_fetched_is_no_flag() -> None:
    """Or it could allow itself the cluster's own addresses."""
    job = made(workspace(source={"urls": ["--allow-private", "http://10.0.0.1/a"]}))
    args = next(it["args"] for it in pod(job)["initContainers"] if it["name"] == "fetch")
    assert args == ["--", "/mnt/data", "--allow-private", "http://10.0.0.1/a"]


def test_private_addresses_are_the_installations_to_allow() -> None:
    assert container("private-urls-to-image", "fetch")["args"][:2] == ["--allow-private", "--"]
    assert container("urls-to-image", "fetch")["args"][0] == "--"


def test_secrets_to_pull_with_are_the_kubelets_or_the_pullers() -> None:
    kubelets = pod(rendered("image-to-image"))
    assert kubelets["imagePullSecrets"] == [{"name": "weights"}, {"name": "mine"}]
    pulled = pod(rendered("pulled-image-to-image"))
    assert "imagePullSecrets" not in pulled
    secrets = {volume["secret"]["secretName"] for volume in pulled["volumes"] if "secret" in volume}
    assert secrets == {"weights", "mine", "push"}


def test_where_kubelets_mount_no_images_training_knows_nothing_of_it() -> None:
    assert container("image-to-image", "train") == container(f"{PULLED}-image-to-image", "train")


def test_results_go_where_the_config_says() -> None:
    text = LORA.replace("/mnt/results", "/mnt/elsewhere/poems")
    job = made(workspace(), replace(SETTINGS, templates={**SETTINGS.templates, "lora": text}))
    *_, train = pod(job)["initContainers"]
    (push,) = pod(job)["containers"]
    assert "--output=/mnt/elsewhere/poems" in train["args"]
    assert push["args"][0] == "/mnt/elsewhere/poems/adapter"
    assert {"name": "results", "mountPath": "/mnt/elsewhere/poems"} in train["volumeMounts"]


def test_the_job_fails_at_once_where_only_a_person_can_help_and_not_for_a_node_that_goes() -> None:
    first, second = rendered("urls-to-image")["spec"]["podFailurePolicy"]["rules"]
    assert (first["action"], first["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (second["action"], second["onExitCodes"]["values"]) == ("FailJob", [65, 137])


def test_another_image_that_trains_is_the_same_tuning() -> None:
    first, second = (made(workspace(), replace(SETTINGS, training_image=image)) for image in ("a:1", "a:2"))
    assert first["spec"] != second["spec"]
    assert first["metadata"]["annotations"][DIGEST] == second["metadata"]["annotations"][DIGEST]


def test_the_template_is_what_the_job_mounts() -> None:
    obj = workspace()
    parsed = Workspace.model_validate(obj)
    asked = work(Observed(obj), parsed, CATALOGUE, SETTINGS)
    assert isinstance(asked, Work)
    found = template(parsed, asked)
    assert found["metadata"]["namespace"] == "default"
    assert found["data"] == {"training_config.yaml": LORA}
    mounted = next(it for it in pod(rendered("urls-to-image"))["volumes"] if it["name"] == "config")
    assert mounted["configMap"]["name"] == found["metadata"]["name"]


@scenes
def test_the_event_source_finds_it_and_its_pods(scene: str) -> None:
    source = yaml.safe_load((Path(__file__).parents[4] / "config" / "eventing" / "source.yaml").read_text())
    selectors = {it["kind"]: it["selector"]["matchLabels"] for it in source["spec"]["resources"] if "selector" in it}
    job = rendered(scene)
    assert selectors["Job"].items() <= job["metadata"]["labels"].items()
    assert selectors["Pod"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert json.loads(json.dumps(job)) == job, "it is plain JSON"
