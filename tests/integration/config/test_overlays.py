"""What users apply: every overlay builds, says what its place needs, and its Services pass Knative's admission."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from eventing.recorder.settings import Settings as RecorderSettings
from functions.provisioner.settings import ManagedCluster, Settings
from kaito.api.resources import CONFIG_MAP, CRD, KNATIVE_SERVICE, NAMESPACE, NODE, Kind, Object
from kaito.embedded import programs
from kaito.embedded.arm.azure import CLUSTER, GROUP, SUBSCRIPTION
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.knative.admission import refusals
from kaito.embedded.knative.schema import malformed
from kaito.embedded.manifests import CONFIG, build, with_environment
from kaito.runtime.kube import Conflict, Kube, KubeError
from tests.nodes import bring_node
from tests.unit.functions.workspace.matrix import rendered

OVERLAYS = sorted(path.parent.name for path in (CONFIG / "overlays").glob("*/kustomization.yaml"))
RECORDER = "kaito-recorder"
FEATURES = ("config-features", "knative-serving")


@functools.cache
def overlay(name: str) -> list[Object]:
    return build(programs.prepare().kubectl, CONFIG / "overlays" / name)


def of_kind(objects: Iterable[Object], kind: Kind) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in objects if Kind.of(obj) == kind}


def container(service: Object) -> Object:
    (found,) = service["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(service: Object) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(service)["env"]}


def enabled(objects: Iterable[Object]) -> frozenset[str]:
    return frozenset(of_kind(objects, CONFIG_MAP)["config-features"]["data"])


def test_these_are_the_overlays() -> None:
    assert OVERLAYS == ["aks", "arm", "embedded", "local"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_holds_all_that_is_ours(name: str) -> None:
    objects = overlay(name)
    crds = of_kind(objects, CRD)
    assert {"workspaces.kaito.sh", "machines.karpenter.sh", "nodeclaims.karpenter.sh"} <= crds.keys()
    assert "kaito-system" in of_kind(objects, NAMESPACE)
    services = of_kind(objects, KNATIVE_SERVICE)
    assert services.keys() - {RECORDER} == {"kaito-workspace", "kaito-provisioner", "kaito-tuning"}
    flags = {RECORDER: enabled(objects)}
    assert all(malformed(it) + refusals(it, flags.get(name, frozenset())) == [] for name, it in services.items())
    for service in services.values():
        context = container(service)["securityContext"]
        assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
        assert (context["capabilities"], context["allowPrivilegeEscalation"]) == ({"drop": ["ALL"]}, False)
        assert service["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
        assert service["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"] == "1"


@pytest.mark.parametrize(
    ("name", "images", "local_nodes"),
    [
        ("embedded", "kaito", "create"),
        ("local", "dev.local/kaito", "label"),
    ],
)
def test_an_overlay_says_where_images_and_nodes_come_from(name: str, images: str, local_nodes: str) -> None:
    services = of_kind(overlay(name), KNATIVE_SERVICE)
    assert container(services["kaito-workspace"])["image"] == f"{images}/workspace:0.1.0"
    assert container(services["kaito-provisioner"])["image"] == f"{images}/provisioner:0.1.0"
    assert environment(services["kaito-workspace"])["KAITO_SERVING_IMAGE"] == f"{images}/serving:0.1.0"
    assert container(services["kaito-tuning"])["image"] == f"{images}/tuning:0.1.0"
    assert environment(services["kaito-tuning"])["KAITO_TRAINING_IMAGE"] == f"{images}/training:0.1.0"
    assert RECORDER not in services or container(services[RECORDER])["image"] == f"{images}/recorder:0.1.0"
    settings = environment(services["kaito-provisioner"])
    assert (settings["KAITO_CLOUD"], settings["KAITO_LOCAL_NODES"]) == ("local", local_nodes)


@pytest.mark.parametrize(
    ("name", "volume", "least"),
    [
        ("aks", {"persistentVolumeClaim": {"claimName": RECORDER}}, "0"),
        ("local", {"emptyDir": {"sizeLimit": "2Gi"}}, "1"),
        ("embedded", None, None),
        ("arm", None, None),
    ],
)
def test_where_recordings_are_kept(name: str, volume: Object | None, least: str | None) -> None:
    """What would go with its pod is of one that stays; on a platform of one machine functions record to files."""
    objects = overlay(name)
    services, claims = of_kind(objects, KNATIVE_SERVICE), of_kind(objects, Kind("v1", "PersistentVolumeClaim"))
    for function, service in services.items():
        if function != RECORDER:
            assert environment(service)["KAITO_RECORDING"] == f"http://{RECORDER}.kaito-system.svc.cluster.local/"
    assert set(claims) == ({RECORDER} if name == "aks" else set())
    if volume is None:
        assert RECORDER not in services
        return
    service = services[RECORDER]
    (found,) = service["spec"]["template"]["spec"]["volumes"]
    (mount,) = container(service)["volumeMounts"]
    assert found == {"name": mount["name"], **volume}
    settings = RecorderSettings.from_environment(environment(service))
    assert Path(settings.database.database or "").parent == Path(mount["mountPath"])
    assert settings == RecorderSettings.from_environment({}), "as it is without a word"
    assert service["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] == least


def test_on_aks_nodes_come_from_aks() -> None:
    objects = overlay("aks")
    service = of_kind(objects, KNATIVE_SERVICE)["kaito-provisioner"]
    assert environment(service)["KAITO_CLOUD"] == "aks"
    azure = Settings.from_environment(environment(service)).azure
    assert azure == ManagedCluster("SUBSCRIPTION_ID", "RESOURCE_GROUP", "CLUSTER_NAME")
    assert service["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    account = of_kind(objects, Kind("v1", "ServiceAccount"))["kaito-provisioner"]
    assert account["metadata"]["annotations"] == {"azure.workload.identity/client-id": "CLIENT_ID"}


def test_the_emulated_azure_is_the_one_that_the_platform_runs() -> None:
    service = of_kind(overlay("arm"), KNATIVE_SERVICE)["kaito-provisioner"]
    (added,) = of_kind(
        with_environment([service], {"ARM_ENDPOINT": "http://127.0.0.1:1"}, "kaito-provisioner"), KNATIVE_SERVICE
    ).values()
    azure = Settings.from_environment(environment(added)).azure
    assert azure == ManagedCluster(SUBSCRIPTION, GROUP, CLUSTER, "http://127.0.0.1:1")
    assert "ARM_ENDPOINT" not in environment(service)
    (other,) = with_environment([service], {"ARM_ENDPOINT": "http://127.0.0.1:1"}, "kaito-workspace")
    assert other == service


@pytest.mark.parametrize(
    ("name", "may"), [("aks", {"delete"}), ("arm", {"delete"}), ("embedded", {"create", "delete"}), ("local", set())]
)
def test_nodes_are_removed_only_where_they_are_the_clouds(name: str, may: set[str]) -> None:
    roles = of_kind(overlay(name), Kind("rbac.authorization.k8s.io/v1", "ClusterRole"))
    rules = [rule for role, obj in roles.items() if role.startswith("kaito-provisioner") for rule in obj["rules"]]
    verbs = {verb for rule in rules if "nodes" in rule["resources"] for verb in rule["verbs"]}
    assert verbs - {"list", "patch"} == may


def test_only_a_cluster_of_ones_own_lacks_knatives_kinds_and_namespace() -> None:
    ours, embedded = overlay("local"), overlay("embedded")
    assert "knative-serving" not in of_kind(ours, NAMESPACE), "an apply of ours would take over its labels"
    assert not [name for name in of_kind(ours, CRD) if name.endswith("knative.dev")]
    assert "knative-serving" in of_kind(embedded, NAMESPACE)
    assert "services.serving.knative.dev" in of_kind(embedded, CRD)


NEEDED = {
    "preset-on-gpu": {"nodeselector", "tolerations", "volumes-image"},
    "preset-on-cpu": {"nodeselector", "volumes-image"},
    "pulled-preset-with-adapters": {"nodeselector", "tolerations", "init-containers"},
    RECORDER: {"persistent-volume-claim", "persistent-volume-write", "securitycontext"},
}


@pytest.mark.parametrize(("name", "needed"), NEEDED.items())
def test_exactly_the_flags_that_services_need_are_enabled(name: str, needed: set[str]) -> None:
    objects = overlay("aks")
    (service,) = [of_kind(objects, KNATIVE_SERVICE)[name]] if name == RECORDER else rendered(name)
    flags = enabled(objects)
    assert refusals(service, flags) == []
    used = {flag.removeprefix("kubernetes.podspec-") for flag in flags if refusals(service, flags - {flag})}
    assert used == needed
    assert len(flags) == len(set[str]().union(*NEEDED.values())), "no other is enabled"


KNATIVES = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": FEATURES[0], "namespace": FEATURES[1], "annotations": {"knative.dev/example-checksum": "1"}},
    "data": {"_example": "documentation", "kubernetes.podspec-affinity": "enabled"},
}
EXAMPLE, IN_A_FILE, BY_HAND = "_example", "kubernetes.podspec-affinity", "multi-container-probing"


@pytest.mark.parametrize(
    ("installed", "ours", "kept"),
    [
        # Whoever applies is taken to own what was applied before: this is why features.yaml warns.
        ("apply -f -", "apply -k {}", {BY_HAND}),
        ("apply -f -", "apply --server-side --field-manager=kaito -k {}", {BY_HAND}),
        ("apply -f -", "patch configmap config-features -n knative-serving --patch-file {}/features.yaml", None),
        ("create -f -", "apply -k {}", None),
        ("apply --server-side --field-manager=operator -f -", "apply -k {}", None),
        ("apply --server-side -f -", "apply --server-side --field-manager=kaito -k {}", None),
    ],
)
def test_what_becomes_of_flags_that_others_set(
    control_plane: ControlPlane, kube: Kube, installed: str, ours: str, kept: set[str] | None
) -> None:
    def kubectl(words: str, stdin: str = "") -> None:
        argv = [str(programs.prepare().kubectl), "--kubeconfig", str(control_plane.kubeconfig), *words.split()]
        subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True)

    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FEATURES[1]}}, manager="tests")
    kube.delete(CONFIG_MAP, *FEATURES)
    kubectl(installed, yaml.safe_dump(KNATIVES))
    kube.patch(CONFIG_MAP, *FEATURES, {"data": {BY_HAND: "enabled"}})
    kubectl(ours.format(CONFIG / "knative"))
    found = kube.get(CONFIG_MAP, *FEATURES)
    assert found is not None
    declared = enabled(overlay("local"))
    assert declared <= found["data"].keys()
    assert found["data"].keys() - declared == ({EXAMPLE, IN_A_FILE, BY_HAND} if kept is None else kept)


def test_the_provisioner_may_label_nodes_and_no_more(control_plane: ControlPlane, kube: Kube) -> None:
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kaito-system"}}, manager="tests")
    for obj in yaml.safe_load_all((CONFIG / "rbac" / "provisioner.yaml").read_text()):
        kube.apply(obj, manager="tests")
    function = Kube.from_kubeconfig(
        control_plane.kubeconfig, impersonate="system:serviceaccount:kaito-system:kaito-provisioner"
    )
    seen = bring_node(kube, "lent")

    def label(version: str, **labels: str) -> Object:
        meta = {"name": "lent", "uid": seen["metadata"]["uid"], "resourceVersion": version, "labels": labels}
        return function.apply({"apiVersion": "v1", "kind": "Node", "metadata": meta}, manager="kaito-provisioner")

    try:
        kube.patch(NODE, "lent", None, {"metadata": {"labels": {"apps": "phi"}}})
        with pytest.raises(Conflict):
            label(seen["metadata"]["resourceVersion"], apps="phi")  # somebody was faster

        (before,) = (n for n in function.list(NODE).items if n["metadata"]["name"] == "lent")
        labelled = label(before["metadata"]["resourceVersion"], apps="phi", claim="ws1")
        assert labelled["metadata"]["labels"] == {"kubernetes.io/hostname": "lent", "apps": "phi", "claim": "ws1"}
        freed = label(labelled["metadata"]["resourceVersion"])
        kept = {"kubernetes.io/hostname": "lent", "apps": "phi"}
        assert freed["metadata"]["labels"] == kept, "what others set too stays"
        for refused in (lambda: function.delete(NODE, "lent"), lambda: bring_node(function, "made")):
            with pytest.raises(KubeError) as error:
                refused()
            assert error.value.status == 403
    finally:
        kube.delete(NODE, "lent")
    with pytest.raises(Conflict):
        label(seen["metadata"]["resourceVersion"], apps="phi")
    assert kube.get(NODE, "lent") is None, "a node that is gone is not made anew"
