"""What carries a model: golden files of every kind, what Knative takes, and where a pod may write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from kaito.api.resources import KNATIVE_SERVICE, SERVICE, STATEFUL_SET, Kind, Object
from kaito.api.workloads import HOME
from kaito.embedded.knative.admission import refusals, unsupported
from tests.unit.functions.workspace.matrix import GOLDEN, PULLED, SCENES, applied, rendered, text, workspace

ROOT = Path(__file__).parents[4]
DOCKERFILE = ROOT / "serving" / "Dockerfile"
FEATURES = ROOT / "config" / "knative" / "features.yaml"
scenes = pytest.mark.parametrize("scene", sorted(SCENES))


def pod(obj: Object) -> Object:
    spec: Object = obj["spec"]["template"]["spec"]
    return spec


@scenes
def test_it_is_rendered_as_the_golden_file_says(scene: str) -> None:
    assert text(scene) == (GOLDEN / f"{scene}.yaml").read_text()


def test_there_is_no_golden_file_of_nothing() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(SCENES)


@scenes
def test_knative_takes_it_with_the_flags_that_we_set(scene: str) -> None:
    enabled = {flag for flag, value in yaml.safe_load(FEATURES.read_text())["data"].items() if value == "enabled"}
    services = [it for it in rendered(scene) if Kind.of(it) == KNATIVE_SERVICE]
    assert [refusals(service, frozenset(enabled)) for service in services] == [[]] * len(services)
    if "preset" in SCENES[scene]["inference"] and not scene.startswith(PULLED):
        assert [unsupported(service) for service in services] == [[]] * len(services), "the embedded platform too"


@pytest.mark.parametrize("scene", sorted(name for name in SCENES if not name.startswith("template")))
def test_a_preset_fits_the_restricted_profile_and_writes_to_its_volumes_only(scene: str) -> None:
    spec = pod(rendered(scene)[0])
    empty = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")} <= empty
        assert HOME in {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in empty}


def test_where_kubelets_mount_no_images_they_are_pulled_to_the_same_places() -> None:
    mounting, pulling = (pod(rendered(f"{how}preset-with-adapters")[0]) for how in ("", "pulled-"))
    assert mounting["containers"] == pulling["containers"], "the server knows nothing of it"
    assert "initContainers" not in mounting
    images = {volume["image"]["reference"] for volume in mounting["volumes"] if "image" in volume}
    assert images == {puller["args"][0] for puller in pulling["initContainers"]}
    assert not [volume for volume in pulling["volumes"] if "image" in volume]
    mounts = {mount["mountPath"]: mount["name"] for mount in pulling["containers"][0]["volumeMounts"]}
    for puller in pulling["initContainers"]:
        (mount,) = (it for it in puller["volumeMounts"] if it["name"] not in {"home"} and not it.get("readOnly"))
        assert mounts[mount["mountPath"]] == mount["name"]
        assert puller["args"][1].startswith(mount["mountPath"])
        secrets = {flag.split("/")[-2] for flag in puller["args"] if flag.startswith("--credentials=")}
        assert secrets == {
            volume["secret"]["secretName"]
            for volume in pulling["volumes"]
            if volume["name"] in {it["name"] for it in puller["volumeMounts"]} and "secret" in volume
        }


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_the_image_writes_where_the_service_lets_it(variable: str) -> None:
    assert re.findall(rf"\b{variable}=(\S+)", DOCKERFILE.read_text()) == [HOME]


@pytest.mark.parametrize(
    ("scene", "kinds"),
    [
        ("preset-on-gpus", [(KNATIVE_SERVICE, "it")]),
        ("preset-balanced", [(KNATIVE_SERVICE, "it"), (SERVICE, "it-lb")]),
        ("template-on-two-nodes", [(KNATIVE_SERVICE, "it")]),
        ("gang-on-one-node", [(STATEFUL_SET, "it"), (SERVICE, "it-headless"), (SERVICE, "it")]),
        ("preset-on-two-nodes", [(STATEFUL_SET, "it"), (SERVICE, "it-headless"), (SERVICE, "it")]),
    ],
)
def test_one_pod_is_knatives_and_a_gang_is_a_stateful_sets(scene: str, kinds: list[tuple[Kind, str]]) -> None:
    assert [(Kind.of(it), it["metadata"]["name"]) for it in rendered(scene)] == kinds


def test_a_gang_has_a_process_for_each_gpu_that_the_model_needs() -> None:
    def processes(scene: str) -> set[str]:
        (container,) = pod(rendered(scene)[0])["containers"]
        return {flag for flag in container["args"] if flag.startswith(("--nnodes", "--nproc"))}

    assert processes("gang-on-one-node") == {"--nnodes=1", "--nproc-per-node=8"}
    assert processes("gang-on-two-nodes") == {"--nnodes=2", "--nproc-per-node=1"}
    assert processes("preset-on-two-nodes") == {"--nnodes=2", "--nproc-per-node=1"}, "without a GPU"


def test_another_text_in_the_config_is_another_revision() -> None:
    def annotations(scene: str) -> Object:
        found: Object = rendered(scene)[0]["spec"]["template"]["metadata"]["annotations"]
        return found

    assert "kaito.sh/config-hash" in annotations("preset-with-config")
    assert "kaito.sh/config-hash" not in annotations("preset-on-gpu")


def test_a_template_keeps_what_its_author_asked_for() -> None:
    service = rendered("template")[0]
    given = SCENES["template"]["inference"]["template"]["spec"]
    assert pod(service)["containers"] == given["containers"]
    assert pod(service)["nodeSelector"] == {"disk": "fast", "apps": "it"}, "and runs on the Workspace's nodes"
    assert [it["key"] for it in pod(service)["tolerations"]] == ["sku", "nvidia.com/gpu"]
    metadata = service["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "chat"
    assert metadata["annotations"]["serving.knative.dev/progress-deadline"] == "10m"


def test_a_label_of_ours_cannot_be_taken_by_a_template() -> None:
    template = {"metadata": {"labels": {"kaito.sh/workspace": "x"}}, "spec": {"containers": [{"image": "a"}]}}
    (service,) = applied(workspace("Standard_D4s_v5", {"template": template}))
    assert service["spec"]["template"]["metadata"]["labels"]["kaito.sh/workspace"] == "it"
