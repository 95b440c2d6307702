"""What the API server itself says of a Workspace, with no process of ours awake."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaito.api.resources import WORKSPACE, WORKSPACE_OWNER, Kind, Object
from kaito.embedded import programs
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.manifests import CONFIG
from kaito.runtime.kube import Kube, KubeError

EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))


def workspace(name: str = "phi", **changes: Any) -> Object:
    obj: Object = {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": "default"},
        "resource": {"instanceType": "Standard_NC6s_v3", "labelSelector": {"matchLabels": {"apps": "phi"}}},
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
    }
    return {key: value for key, value in {**obj, **changes}.items() if value is not None}


def resource(**changes: Any) -> Object:
    return {**workspace()["resource"], **changes}


TUNING: Object = {
    "preset": {"name": "phi-3-mini-4k-instruct"},
    "method": "qlora",
    "input": {"urls": ["https://example.com/data.parquet"]},
    "output": {"image": "registry.example/adapter:1", "imagePushSecret": "push"},
}


def adapting(name: str = "a", image: str = "a:1", strength: str = "0.5") -> Object:
    return {"preset": {"name": "x"}, "adapters": [{"source": {"name": name, "image": image}, "strength": strength}]}


def tuning(**changes: Any) -> Object:
    return {name: value for name, value in {**TUNING, **changes}.items() if value is not None}


INVALID = {
    "neither": (workspace(inference=None), "give inference (to serve a model) or tuning"),
    "both": (workspace(tuning=TUNING), "give inference or tuning, not both"),
    "no preset": (workspace(inference={}), "give a preset (inference.preset.name) or a pod template"),
    "preset and template": (
        workspace(inference={"preset": {"name": "x"}, "template": {"spec": {}}}), "give preset or template, not both"),
    "private without image": (
        workspace(inference={"preset": {"name": "llama-2-7b", "accessMode": "private"}}),
        "needs preset.presetOptions.image"),
    "access mode": (
        workspace(inference={"preset": {"name": "x", "accessMode": "secret"}}),
        'supported values: "public", "private"'),
    "count": (workspace(resource=resource(count=0)), "should be greater than or equal to 1"),
    "instance type of two words": (workspace(resource=resource(instanceType="NVIDIA T4")), "should match"),
    "instance type and more": (workspace(resource=resource(instanceType="Standard_NC12,azure")), "should match"),
    "count of words": (workspace(resource=resource(count="two")), "must be of type integer"),
    "no selector": (workspace(resource={"instanceType": "x"}), "resource.labelSelector: Required value"),
    "selector": (
        workspace(resource=resource(labelSelector={"matchExpressions": [{"key": "a", "operator": "Exists"}]})),
        "only matchLabels, or matchExpressions with operator In and one value"),
    "label value": (
        workspace(resource=resource(labelSelector={"matchLabels": {"apps": "phi 3!"}})), "should match"),
    "label key": (
        workspace(resource=resource(labelSelector={"matchLabels": {"a b": "c"}})), "a label key is"),
    "label of the node": (
        workspace(resource=resource(labelSelector={"matchLabels": {"kubernetes.io/hostname": "n"}})),
        "labels of their own"),
    "label of ours": (
        workspace(resource=resource(labelSelector={"matchExpressions": [
            {"key": "kaito.sh/workspace", "operator": "In", "values": ["n"]}]})),
        "labels of their own"),
    "name": (workspace("phi.3"), "must be a DNS label"),
    "long name": (workspace("p" * 64), "at most 63"),
    "eleven adapters": (
        workspace(inference={"preset": {"name": "x"}, "adapters": [{"source": {"image": "a:1"}}] * 11}),
        "must have at most 10 items"),
    "adapter of two sources": (
        workspace(inference={"preset": {"name": "x"}, "adapters": [{"source": {"image": "a:1", "urls": ["b"]}}]}),
        "give exactly one of urls, volumeSource or image"),
    "adapter without an image": (
        workspace(inference={"preset": {"name": "x"}, "adapters": [{"source": {"name": "a", "urls": ["b"]}}]}),
        "source.image: an adapter comes in an image"),
    "adapter without a name": (
        workspace(inference={"preset": {"name": "x"}, "adapters": [{"source": {"image": "a:1"}}]}),
        "source.name: every adapter needs a name"),
    "adapter of a bad name": (workspace(inference=adapting(name="A b")), 'letters, digits, - and ., not "A b"'),
    "adapter of a bad image": (workspace(inference=adapting(image="a b")), 'image: "a b" is no image reference'),
    "adapter of a strength": (workspace(inference=adapting(strength="1.5")), 'strength: from 0.0 to 1.0, not "1.5"'),
    "adapter of no strength": (workspace(inference=adapting(strength="much")), 'strength: from 0.0 to 1.0, not "much"'),
    "two adapters of a name": (
        workspace(inference={"preset": {"name": "x"}, "adapters": adapting()["adapters"] * 2}),
        "inference.adapters: two have the same source.name: each needs one of its own"),
    "adapters of a template": (
        workspace(inference={"template": {"spec": {}}, "adapters": adapting()["adapters"]}),
        "adapters and config are for presets"),
    "preset of a bad name": (workspace(inference={"preset": {"name": "a b"}}), "should match"),
    "private of a bad image": (
        workspace(inference={"preset": {"name": "x", "presetOptions": {"image": ":1"}}}), "is no image reference"),
    "tuning on two": (
        workspace(inference=None, tuning=TUNING, resource=resource(count=2)), "tuning runs on one node: set it to 1"),
    "tuning of nothing": (workspace(inference=None, tuning=tuning(input=None)), "tuning.input: Required value"),
    "tuning to nothing": (workspace(inference=None, tuning=tuning(output=None)), "tuning.output: Required value"),
    "tuning to nowhere": (workspace(inference=None, tuning=tuning(output={})), "exactly one of volumeSource or image"),
    "tuning without a secret": (
        workspace(inference=None, tuning=tuning(output={"image": "a:1"})), "image a:1 needs imagePushSecret"),
    "tuning of no model": (workspace(inference=None, tuning=tuning(preset=None)), "tuning.preset: Required value"),
    "tuning method": (workspace(inference=None, tuning={**TUNING, "method": "full"}), "should match"),
}  # fmt: skip


@pytest.mark.parametrize(("obj", "sentence"), INVALID.values(), ids=INVALID.keys())
def test_what_cannot_be_is_refused_with_what_to_change(kube: Kube, obj: Object, sentence: str) -> None:
    with pytest.raises(KubeError) as refused:
        kube.create(obj)
    assert refused.value.status == 422
    assert sentence in refused.value.message


@pytest.mark.parametrize("strength", ["0", "1", "0.0", "1.0", "1.000", ".5", "0.25"])
def test_strengths(kube: Kube, strength: str) -> None:
    obj = workspace(inference={**adapting(strength=strength), "preset": {"name": "phi-2"}})
    assert kube.apply(obj, manager="user", dry_run=True)


@pytest.mark.parametrize(
    "image", ["a", "a:1", "a/b_c/d-e:V.1", "Host.example:5000/a:1", "a@sha256:" + "0" * 64, "localhost/a:1"]
)
def test_image_references(kube: Kube, image: str) -> None:
    obj = workspace(inference={**adapting(image=image), "preset": {"name": "phi-2"}})
    assert kube.apply(obj, manager="user", dry_run=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"preset": {"name": "phi-4"}}, "tuning.preset (phi-3-mini-4k-instruct, public) cannot be changed"),
        ({"method": "lora"}, "tuning.method cannot be changed from qlora to lora"),
        ({"input": {**TUNING["input"], "name": "other"}}, "tuning.input.name cannot be changed"),
    ],
)
def test_what_a_tuning_is_made_of_stays(kube: Kube, change: Object, sentence: str) -> None:
    large = resource(instanceType="Standard_NC24ads_A100_v4")
    kube.apply(workspace("tunes", inference=None, tuning=TUNING, resource=large), manager="user")
    with pytest.raises(KubeError) as refused:
        kube.apply(workspace("tunes", inference=None, tuning=tuning(**change), resource=large), manager="user")
    assert sentence in refused.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"inference": {"preset": {"name": "phi-3-mini-4k-instruct"}, "config": "settings"}},
        {"inference": {**adapting(), "preset": {"name": "phi-3-mini-4k-instruct"}}},
    ],
)
def test_what_can_be_changed(kube: Kube, change: Object) -> None:
    kube.apply(workspace("changes"), manager="user")
    assert kube.apply(workspace("changes", **change), manager="user")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"resource": resource(count=2)}, "resource.count cannot be changed"),
        (
            {"resource": resource(instanceType="Standard_NC12s_v3")},
            "resource.instanceType cannot be changed from Standard_",
        ),
        ({"resource": resource(labelSelector={"matchLabels": {"a": "b"}})}, "labelSelector cannot be changed"),
        (
            {"inference": {"preset": {"name": "phi-4"}}},
            "inference.preset (phi-3-mini-4k-instruct, public) cannot be changed",
        ),
        ({"inference": {"template": {"spec": {}}}}, "cannot be added or taken away"),
        ({"inference": None, "tuning": TUNING}, "inference and tuning cannot be added or taken away"),
    ],
)
def test_what_a_workspace_is_made_of_stays(kube: Kube, change: Object, sentence: str) -> None:
    kube.apply(workspace("stays"), manager="user")
    with pytest.raises(KubeError) as refused:
        kube.apply(workspace("stays", **change), manager="user")
    assert sentence in refused.value.message


def test_both_versions_are_the_same_object(kube: Kube) -> None:
    kube.apply({**workspace("versions"), "apiVersion": "kaito.sh/v1beta1"}, manager="user")
    read = kube.get(WORKSPACE, "versions", "default")
    assert read is not None
    assert read["apiVersion"] == "kaito.sh/v1alpha1"
    assert read["resource"]["count"] == 1, "the default"
    assert read["inference"]["preset"]["accessMode"] == "public", "the default"
    beta = kube.get(Kind("kaito.sh/v1beta1", "Workspace"), "versions", "default")
    assert beta is not None
    assert beta["metadata"]["uid"] == read["metadata"]["uid"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_accepted(kube: Kube, path: Path) -> None:
    obj = copy.deepcopy(yaml.safe_load(path.read_text()))
    obj["metadata"]["namespace"] = "default"
    assert kube.apply(obj, manager="user")["metadata"]["uid"]


def kubectl_get(control_plane: ControlPlane, *words: str) -> str:
    argv = [str(programs.prepare().kubectl), "--kubeconfig", str(control_plane.kubeconfig), "get", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_owner_references_name_the_version_that_the_garbage_collector_watches(control_plane: ControlPlane) -> None:
    group = json.loads(kubectl_get(control_plane, "--raw", f"/apis/{WORKSPACE_OWNER.group}"))
    assert group["preferredVersion"]["groupVersion"] == WORKSPACE_OWNER.api_version


def test_kubectl_prints_exactly_these_columns(control_plane: ControlPlane, kube: Kube) -> None:
    kube.apply(workspace("columns"), manager="user")

    def header(*words: str) -> str:
        return " ".join(kubectl_get(control_plane, "workspace", "columns", *words).splitlines()[0].split())

    assert header() == "NAME INSTANCE RESOURCEREADY INFERENCEREADY WORKSPACEREADY AGE"
    assert header("-o", "wide") == (
        "NAME INSTANCE RESOURCEREADY INFERENCEREADY WORKSPACEREADY JOBSTARTED WORKSPACESUCCEEDED STATE URL AGE"
    )
