"""What the admission policies say of a Workspace: by the catalogue, its annotations, and where its data comes from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import presets
from kaito.api.resources import CONFIG_MAP, WORKSPACE, Object
from kaito.runtime.kube import Kube, KubeError
from presets import ModelPreset, Sku
from presets.manifest import NAME, NAMESPACE, config_map

CATALOGUE = presets.load()
LARGE, SMALL = "Standard_ND96isr_H200_v5", "Standard_NC6s_v3"


def workspace(
    preset: str = "phi-4",
    instance_type: str = LARGE,
    *,
    count: int = 1,
    annotations: dict[str, str] | None = None,
    **work: Any,
) -> Object:
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "policy", "namespace": "default", "annotations": annotations or {}},
        "resource": {
            "count": count,
            "instanceType": instance_type,
            "labelSelector": {"matchLabels": {"apps": "policy"}},
        },
        **(work or {"inference": {"preset": {"name": preset}}}),
    }


def tuning(preset: str = "phi-2", *, urls: tuple[str, ...] = ("https://example.com/data.parquet",)) -> Object:
    output = {"image": "registry.example/adapter:1", "imagePushSecret": "push"}
    return {"preset": {"name": preset}, "method": "lora", "input": {"urls": list(urls)}, "output": output}


def template(**spec: Any) -> Object:
    return {"template": {"spec": {"containers": [{"image": "a:1"}], **spec}}}


def verdict(kube: Kube, obj: Object) -> str | None:
    """Why the API server would not take it; None where it would."""
    try:
        kube.apply(obj, manager="user", dry_run=True)
    except KubeError as error:
        if error.status != 422:
            raise
        return error.message.partition("denied request: ")[2] or error.message
    return None


@pytest.fixture(scope="module", autouse=True)
def _in_force(kube: Kube) -> None:
    """The API server takes up policies and their parameters a moment after they are there."""
    deadline, never = time.monotonic() + 30, threading.Event()
    while not all(
        verdict(kube, obj)
        for obj in (
            workspace("no-such-preset"),
            workspace(annotations={"kaito.sh/scale-to-zero": "?"}),
            workspace(tuning=tuning(urls=("ftp://example.com",))),
            workspace(inference={"template": {}}),
        )
    ):
        assert time.monotonic() < deadline, "the policies are not in force"
        never.wait(0.1)


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (
            workspace("no-such-preset"),
            'inference.preset.name: there is no preset "no-such-preset" in the catalogue; it',
        ),
        (workspace("no-such-preset"), ", phi-4, phi-4-mini-instruct, "),
        (workspace(tuning=tuning("x")), 'tuning.preset.name: there is no preset "x"'),
        (
            workspace(tuning=tuning("falcon-7b-instruct")),
            "tuning.preset.name: falcon-7b-instruct cannot be tuned; these can: falcon-40b, falcon-7b, mistral-7b,",
        ),
        (
            workspace("llama-2-7b"),
            "inference.preset.accessMode: llama-2-7b is a private model: set accessMode: private",
        ),
        (
            workspace(instance_type="gpu-box"),
            'resource.instanceType: "gpu-box" is not in the catalogue and starts with',
        ),
        *(
            (workspace(instance_type=it), f'resource.instanceType: "{it}" is not in the catalogue')
            for it in ("1", "16", "name", "gpus")
        ),
        *((workspace(it), f'there is no preset "{it}" in the catalogue') for it in ("public", "7b", "1")),
        (
            workspace("falcon-40b", SMALL),
            "resource: insufficient number of GPUs: falcon-40b needs 2, and 1 x Standard_NC6s_v3 has 1;"
            " Standard_NC48ads_A100_v4 would do",
        ),
        (
            workspace("phi-4", SMALL),
            "resource: insufficient total GPU memory: phi-4 needs 40 GiB, and 1 x Standard_NC6s_v3 has 16;"
            " Standard_NV72ads_A10_v5 would do",
        ),
        (
            workspace(tuning=tuning("phi-2"), instance_type="Standard_NV6"),
            "resource.instanceType: insufficient per GPU memory: phi-2 (tuning) needs 16 GiB on each GPU, and"
            " Standard_NV6 has 8; ",
        ),
        (
            workspace(inference={"template": {"metadata": {}}}),
            "inference.template: a pod template needs spec.containers",
        ),
        (
            workspace(inference={"template": {"spec": {"containers": [{"name": "a"}]}}}),
            "inference.template: each of spec.containers needs an image",
        ),
        (
            workspace(inference=template(restartPolicy="Always", nodeName="a")),
            "it runs as a Knative Service, which has no spec.restartPolicy, spec.nodeName: leave that out",
        ),
        (
            workspace(
                inference={
                    "template": {
                        "spec": {
                            "containers": [
                                {"image": "a:1", "ports": [{"containerPort": 1}, {"containerPort": 2}]},
                                {"image": "b:1", "ports": [{"containerPort": 3}]},
                            ]
                        }
                    }
                }
            ),
            "which has one port, and spec.containers name 3",
        ),
        (
            workspace(annotations={"kaito.sh/scale-to-zero": "true", "kaito.sh/enablelb": "True"}),
            "metadata.annotations: kaito.sh/enablelb and kaito.sh/scale-to-zero cannot go together",
        ),
        (
            workspace(annotations={"kaito.sh/scale-to-zero-node-retention-period": "15 minutes"}),
            "metadata.annotations: kaito.sh/scale-to-zero-node-retention-period is a duration like 30s, 15m or 1h,"
            ' not "15 minutes"',
        ),
        (
            workspace(annotations={"kaito.sh/scale-to-zero": "yes"}),
            'metadata.annotations: kaito.sh/scale-to-zero is "true" or "false", not "yes"',
        ),
        (
            workspace(annotations={"kaito.sh/enablelb": "true"}),
            'metadata.annotations: kaito.sh/enablelb is "True" or "False", not "true"',
        ),
        (
            workspace(annotations={"kaito.sh/runtime": "vllm"}),
            'metadata.annotations: kaito.sh/runtime is "transformers", the one that this release has, not "vllm"',
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_could_be(kube: Kube, obj: Object, said: str) -> None:
    assert said in (verdict(kube, obj) or "")


@pytest.mark.parametrize(
    "obj",
    [
        workspace("microsoft/Phi-4"),
        workspace("PHI-4", LARGE.lower()),
        workspace("phi-4", "Standard_NC_of_tomorrow_v9"),
        workspace("smollm2-135m-instruct", "Standard_D4s_v5"),
        workspace("phi-4", ""),
        workspace("phi-4", SMALL, annotations={"kaito.sh/bypass-resource-checks": ""}),
        workspace("falcon-40b", "Standard_NC24ads_A100_v4", count=2),
        workspace(
            inference={
                "preset": {"name": "llama-2-7b", "accessMode": "private", "presetOptions": {"image": "ours/llama:1"}}
            }
        ),
        workspace(inference={"template": {"spec": {"containers": [{"name": "server", "image": "ours:1"}]}}}),
        workspace(tuning=tuning("phi-2")),
        workspace(annotations={"kaito.sh/scale-to-zero": "true", "kaito.sh/runtime": "transformers"}),
    ],
)
def test_what_can_be_is_taken(kube: Kube, obj: Object) -> None:
    assert verdict(kube, obj) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/data",
        "http://[::ffff:127.0.0.1]/",
        "http://user@127.0.0.1/",
        "http://LOCALHOST:8080/",
        "http://data.localhost./",
        "http://10.1.2.3:80/",
        "http://172.20.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://169.254.169.254/metadata",
        "http://168.63.129.16/",
        "http://metadata.google.internal/",
    ],
)
def test_data_does_not_come_from_closed_hosts(kube: Kube, url: str) -> None:
    said = verdict(kube, workspace(tuning=tuning(urls=("https://example.com/a", url)))) or ""
    assert said.startswith("tuning.input.urls: data comes from public hosts, not from loopback, private, link-local")
    assert "example.com" not in said


@pytest.mark.parametrize("url", ["ftp://example.com/x", "file:///etc/passwd", "example.com/x", "a b"])
def test_data_comes_by_http(kube: Kube, url: str) -> None:
    said = verdict(kube, workspace(tuning=tuning(urls=(url,)))) or ""
    assert said == f"tuning.input.urls: only http:// and https://, not {url}"


@pytest.mark.parametrize("url", ["https://example.com/a?b=c", "http://8.8.8.8/", "http://[2001:4860::8]:8080/x"])
def test_data_comes_from_public_hosts(kube: Kube, url: str) -> None:
    assert verdict(kube, workspace(tuning=tuning(urls=(url,)))) is None


def test_what_was_admitted_can_be_changed_and_deleted_whatever_the_catalogue_says_now(kube: Kube) -> None:
    """A finalizer must come off also where the catalogue has lost the preset since."""
    obj = workspace("phi-4", annotations={"kaito.sh/bypass-resource-checks": ""})
    obj["metadata"] |= {"name": "admitted", "finalizers": ["kaito.sh/test"]}
    kube.apply(obj, manager="user")
    without = config_map()
    without["data"]["needs.csv"] = "\n".join(
        line for line in without["data"]["needs.csv"].splitlines() if "phi-4," not in line
    )
    kube.apply(without, manager="test")
    try:
        deadline, never = time.monotonic() + 30, threading.Event()
        while verdict(kube, workspace("phi-4")) is None:
            assert time.monotonic() < deadline, "the API server does not hear of a new catalogue"
            never.wait(0.1)
        kube.patch(WORKSPACE, "admitted", "default", {"metadata": {"annotations": {"a": "b"}, "finalizers": None}})
        kube.delete(WORKSPACE, "admitted", "default")
        assert kube.get(WORKSPACE, "admitted", "default") is None
    finally:
        kube.apply(config_map(), manager="test")
        assert kube.get(CONFIG_MAP, NAME, NAMESPACE) is not None


def combinations() -> Iterator[tuple[ModelPreset, Sku, int]]:
    """Every preset on one of every kind of instance type, alone and in fours."""
    kinds = {(sku.provider, sku.gpus, sku.memory_gib): sku for sku in CATALOGUE.skus.values()}
    for name in CATALOGUE.names:
        model = CATALOGUE.models[name]
        for sku in kinds.values():
            yield from ((model, sku, 1), (model, sku, 4))


def test_the_api_server_and_the_function_agree_on_what_fits(kube: Kube) -> None:
    def judge(case: tuple[ModelPreset, Sku, int]) -> tuple[str, bool, bool]:
        model, sku, count = case
        preset = {"name": model.name, "accessMode": model.access_mode, "presetOptions": {"image": "ours:1"}}
        said = verdict(kube, workspace(instance_type=sku.name, count=count, inference={"preset": preset}))
        lacking = presets.shortfall(model.name, model.inference, sku, count)
        assert said is None or "insufficient" in said
        return f"{model.name} on {count} x {sku.name}: {said} / {lacking}", said is None, lacking is None

    with ThreadPoolExecutor(8) as pool:
        judged = list(pool.map(judge, combinations()))
    assert [case for case, admitted, fits in judged if admitted is not fits] == []
    assert {fits for _, _, fits in judged} == {True, False}


def test_a_template_may_change_into_what_a_service_can_be(kube: Kube) -> None:
    first = workspace(inference=template())
    first["metadata"]["name"] = "template"
    kube.apply(first, manager="user")
    assert verdict(kube, {**first, "inference": template(serviceAccountName="a")}) is None
    assert "spec.hostname: leave that out" in (verdict(kube, {**first, "inference": template(hostname="a")}) or "")
