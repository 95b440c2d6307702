"""Knative's manifests, adapted: the walk over small ones, and what comes out of the real ones."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
import yaml

from kaito.api.resources import CONFIG_MAP, CRD, NAMESPACE, Kind, Object
from tests.cluster import knative
from tests.cluster.ingress import INGRESS_CLASS
from tests.cluster.knative import IMAGES, SETTINGS, Dropped, KnativeError, Settings, adapt, image, manifests
from tests.cluster.programs import GO_MODULES

DEPLOYMENT = Kind("apps/v1", "Deployment")
WEBHOOKS = [
    Kind("admissionregistration.k8s.io/v1", f"{what}WebhookConfiguration") for what in ("Mutating", "Validating")
]

_MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: knative-serving}
spec:
  replicas: 0
  template:
    spec:
      affinity: {podAntiAffinity: {}}
      terminationGracePeriodSeconds: 300
      containers:
      - name: controller
        image: ko://knative.dev/serving/cmd/controller
        env:
        - {name: QUEUE_IMAGE, value: "ko://knative.dev/serving/cmd/queue"}
        - {name: PLAIN, value: "see ko://knative.dev/serving/cmd/queue"}
        resources: {requests: {cpu: 100m}, limits: {memory: 1000Mi}}
        readinessProbe: {httpGet: {port: 8080}, initialDelaySeconds: 20, periodSeconds: 10}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {stable-window: 60s, max-scale: "3"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: another}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: webhook, namespace: knative-serving}
---
apiVersion: v1
kind: Service
metadata: {name: job-sink, namespace: knative-eventing, labels: {app.kubernetes.io/component: job-sink}}
---
apiVersion: v1
kind: Namespace
metadata: {name: knative-serving}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: services.serving.knative.dev}
"""
_SETTINGS = Settings(
    dropped=Dropped(kinds=("HorizontalPodAutoscaler",), components=("job-sink",)),
    pod={"terminationGracePeriodSeconds": 5},
    probes={"readinessProbe": {"initialDelaySeconds": 0}, "livenessProbe": {"periodSeconds": 10}},
    resources={"requests": {"cpu": "10m"}},
    configMaps={"knative-serving": {"config-autoscaler": {"stable-window": "15s"}}},
)


def _identity(obj: Object) -> tuple[Kind, str | None, str]:
    return Kind.of(obj), obj["metadata"].get("namespace"), obj["metadata"]["name"]


def _parsed() -> list[Object]:
    return list(yaml.safe_load_all(_MANIFESTS))


def test_objects_are_dropped_and_ordered_for_applying() -> None:
    assert [_identity(obj) for obj in adapt(_parsed(), _SETTINGS)] == [
        (CRD, None, "services.serving.knative.dev"),
        (NAMESPACE, None, "knative-serving"),
        (CONFIG_MAP, "knative-serving", "config-autoscaler"),
        (CONFIG_MAP, "another", "config-autoscaler"),
        (DEPLOYMENT, "knative-serving", "controller"),
    ]


def test_a_deployment_fits_a_small_node() -> None:
    *_, deployment = adapt(_parsed(), _SETTINGS)
    assert deployment["spec"] == {
        "replicas": 0,
        "template": {
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "containers": [
                    {
                        "name": "controller",
                        "image": image("knative.dev/serving/cmd/controller"),
                        "env": [
                            {"name": "QUEUE_IMAGE", "value": image("knative.dev/serving/cmd/queue")},
                            {"name": "PLAIN", "value": "see ko://knative.dev/serving/cmd/queue"},
                        ],
                        "resources": {"requests": {"cpu": "10m"}},
                        "readinessProbe": {"httpGet": {"port": 8080}, "initialDelaySeconds": 0, "periodSeconds": 10},
                    }
                ],
            }
        },
    }


def test_settings_go_into_the_named_config_map_only() -> None:
    by_namespace = {obj["metadata"].get("namespace"): obj for obj in adapt(_parsed(), _SETTINGS)[2:4]}
    assert by_namespace["knative-serving"]["data"] == {"stable-window": "15s", "max-scale": "3"}
    assert by_namespace["another"]["data"] == {}


def test_the_given_objects_and_the_settings_stay_as_they_were() -> None:
    given, settings = _parsed(), _SETTINGS.model_copy(deep=True)
    before = deepcopy(given)
    *_, deployment = adapt(given, settings)
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1"
    assert given == before
    assert settings == _SETTINGS


def test_images_are_distinct_and_of_a_registry_that_is_not_asked() -> None:
    assert len(set(IMAGES.values())) == len(IMAGES) == 14
    assert all(re.fullmatch(r"dev\.local/knative/[a-z_-]+:v0\.50\.0", name) for name in IMAGES.values())
    skipped = SETTINGS.config_maps["knative-serving"]["config-deployment"]["registries-skipping-tag-resolving"]
    assert "dev.local" in skipped.split(",")


@pytest.mark.parametrize("module", ["serving", "eventing"])
def test_what_runs_is_what_is_pinned(module: str) -> None:
    pinned = re.findall(r'_ "(.+)"', (GO_MODULES / module / "tools.go").read_text())
    assert [package for package in IMAGES if package.startswith(f"knative.dev/{module}/")] == pinned


def test_the_ingress_class_is_that_of_the_ingress_controller() -> None:
    assert SETTINGS.config_maps["knative-serving"]["config-network"]["ingress-class"] == INGRESS_CLASS


def test_without_go_the_reader_is_told() -> None:
    with pytest.raises(KnativeError, match="install Go"):
        manifests("no-such-go")


@pytest.fixture(scope="module")
def real() -> list[Object]:
    try:
        return manifests(offline=True)
    except KnativeError as error:
        pytest.skip(f"this machine's module cache has no Knative: {error}")


def test_the_real_manifests_name_only_images_that_are_made(real: list[Object]) -> None:
    named = set(re.findall(r"dev\.local/knative/[^'\"]+", str(real)))
    # Only for authenticated sinks of features that are off.
    assert named - {image("knative.dev/eventing/cmd/auth_proxy")} == set(IMAGES.values())
    assert "ko://" not in str(real)


def test_the_real_manifests_are_fit_for_server_side_apply(real: list[Object]) -> None:
    identities = [_identity(obj) for obj in real]
    assert len(identities) == len(set(identities))
    assert not [obj for obj in real if "status" in obj]
    assert len([kind for kind, *_ in identities if kind == CRD]) == 30
    namespaces = {obj["metadata"]["name"] for obj in real if Kind.of(obj) == NAMESPACE}
    assert {namespace for _, namespace, _ in identities if namespace} == namespaces


def test_every_setting_finds_its_object(real: list[Object]) -> None:
    config_maps = {_identity(obj)[1:]: obj["data"] for obj in real if Kind.of(obj) == CONFIG_MAP}
    for namespace, named in SETTINGS.config_maps.items():
        for name, data in named.items():
            assert config_maps[namespace, name].items() >= data.items()


def test_the_real_deployments_fit_a_small_node(real: list[Object]) -> None:
    pods: dict[str, Any] = {
        obj["metadata"]["name"]: obj["spec"]["template"]["spec"] for obj in real if Kind.of(obj) == DEPLOYMENT
    }
    assert set(pods) == {
        *("activator", "autoscaler", "controller", "webhook"),
        *("eventing-controller", "eventing-webhook", "pingsource-mt-adapter"),
        *("imc-controller", "imc-dispatcher", "mt-broker-controller", "mt-broker-filter", "mt-broker-ingress"),
    }
    for pod in pods.values():
        (container,) = pod["containers"]
        assert "affinity" not in pod
        assert container["resources"] == SETTINGS.resources
        assert container["readinessProbe"]["periodSeconds"] == 1


def test_nothing_needs_a_webhook_that_is_not_up_yet(real: list[Object]) -> None:
    """Serving's webhooks have their rules from the start, and refuse what they cannot look at."""
    rules = [
        rule
        for obj in real
        if Kind.of(obj) in WEBHOOKS
        for webhook in obj["webhooks"]
        for rule in webhook.get("rules", [])
    ]
    looked_at = {group for rule in rules for group in rule["apiGroups"]}
    assert "serving.knative.dev" in looked_at
    assert not [_identity(obj) for obj in real if Kind.of(obj).group in looked_at]


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, real: list[Object]) -> None:
    assert real
    sources = {"serving": {"knative.dev/caching": ("config/gone",)}}
    monkeypatch.setattr(knative, "SETTINGS", SETTINGS.model_copy(update={"sources": sources}))
    with pytest.raises(KnativeError, match="has no manifests"):
        manifests(offline=True)
