"""config/source, as overlays take it in: our source in a pod, of the very manifest that Knative's adapter would run."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from eventing.source import user
from eventing.source.__main__ import main
from eventing.source.adapter import Adapter
from eventing.source.spec import spec_of
from kaito.api.resources import API_SERVER_SOURCE, BROKER, CONFIG_MAP, NAMESPACE, NODE, Kind, Object
from kaito.embedded import programs
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.manifests import CONFIG, build
from kaito.runtime.kube import Kube, KubeError
from tests.integration.config.test_overlays import OVERLAYS
from tests.receiver import Receiver

MANIFEST = yaml.safe_load((CONFIG / "eventing" / "source.yaml").read_text())
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
DEPLOYMENT = Kind("apps/v1", "Deployment")
CLAIM = Kind("v1", "PersistentVolumeClaim")
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module", params=[name for name in OVERLAYS if name not in ("arm", "embedded")])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """An overlay of a user's own: one of ours, and the component."""
    config = tmp_path_factory.mktemp("user") / "config"
    shutil.copytree(CONFIG, config)
    mine = config / "overlays" / "mine"
    mine.mkdir()
    kustomization = {"resources": [f"../{request.param}"], "components": ["../../source"]}
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return build(programs.prepare().kubectl, mine)


def the(objects: list[Object], kind: Kind, name: str) -> Object:
    (found,) = [obj for obj in objects if Kind.of(obj) == kind and obj["metadata"]["name"].startswith(name)]
    return found


def pod(objects: list[Object]) -> Object:
    template = the(objects, DEPLOYMENT, "kaito-source")["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it"}, "spec": template["spec"]}


def test_knatives_adapter_has_nothing_left_to_run(objects: list[Object]) -> None:
    assert not [obj for obj in objects if Kind.of(obj) == API_SERVER_SOURCE]


def test_the_pod_runs_the_one_manifest(objects: list[Object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = pod(objects)["spec"]
    (container,) = spec["containers"]
    (volume,) = [it for it in spec["volumes"] if it["name"] == "manifest"]
    files = the(objects, CONFIG_MAP, "kaito-source")
    assert volume["configMap"]["name"] == files["metadata"]["name"]
    assert files["data"] == {"source.yaml": (CONFIG / "eventing" / "source.yaml").read_text()}
    (mount,) = [it for it in container["volumeMounts"] if it["name"] == "manifest"]

    ran: list[Object] = []

    class Runs:
        failure = None

        def __init__(self, manifest: Object, *rest: object, **more: object) -> None:
            ran.append(manifest)

    monkeypatch.setattr("eventing.source.__main__.Adapter", Runs)
    monkeypatch.setattr("eventing.source.__main__._run", lambda adapter: None)
    monkeypatch.setattr(Kube, "from_environment", lambda: None)
    (tmp_path / "source.yaml").write_text(files["data"]["source.yaml"])
    assert container["command"] == ["python", "-m", "eventing.source"]
    main([argument.replace(mount["mountPath"], str(tmp_path)) for argument in container["args"]])
    assert ran == [MANIFEST]


def test_the_spool_is_on_a_volume_that_outlives_the_pod_and_has_one_user(objects: list[Object]) -> None:
    spec = pod(objects)["spec"]
    (volume,) = [it for it in spec["volumes"] if it["name"] == "spool"]
    assert the(objects, CLAIM, volume["persistentVolumeClaim"]["claimName"])["spec"]["accessModes"] == ["ReadWriteOnce"]
    (container,) = spec["containers"]
    (mount,) = [it for it in container["volumeMounts"] if it["name"] == "spool"]
    assert container["args"][container["args"].index("--spool") + 1] == mount["mountPath"]
    deployment = the(objects, DEPLOYMENT, "kaito-source")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


def test_it_has_the_rights_to_list_and_watch_its_kinds_and_no_more(objects: list[Object]) -> None:
    spec = spec_of(MANIFEST)
    assert pod(objects)["spec"]["serviceAccountName"] == spec.service_account_name
    watched = {(Kind(it.api_version, it.kind).group, Kind(it.api_version, it.kind).plural) for it in spec.resources}
    rules = the(objects, CLUSTER_ROLE, spec.service_account_name)["rules"]
    assert {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]} == watched
    assert [rule["verbs"] for rule in rules] == [["list", "watch"]] * len(rules)


@pytest.fixture
def restricted(kube: Kube) -> Iterator[str]:
    """A namespace that takes restricted pods only."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, manager="tests")
    account = {"name": "kaito-events", "namespace": name}
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}, manager="tests")
    yield name
    kube.delete(NAMESPACE, name)


def test_the_api_server_takes_it_as_restricted(objects: list[Object], kube: Kube, restricted: str) -> None:
    for obj in (the(objects, DEPLOYMENT, "kaito-source"), the(objects, CLAIM, "kaito-source"), pod(objects)):
        there = {**obj, "metadata": {**obj["metadata"], "namespace": restricted}}
        kube.apply(there, manager="tests", dry_run=True)
    loose = pod(objects)
    loose["spec"]["securityContext"] = {}
    loose["metadata"]["namespace"] = restricted
    with pytest.raises(KubeError, match="violates PodSecurity"):
        kube.apply(loose, manager="tests", dry_run=True)


@pytest.fixture
def installed(objects: list[Object], kube: Kube) -> Iterator[Object]:
    """The component's rights and the Broker."""
    names = ("kaito-events", "kaito-source")
    ours = [obj for obj in objects if obj["apiVersion"] == RBAC and obj["metadata"]["name"] in names]
    broker = the(objects, BROKER, "kaito")
    for obj in (*ours, broker):
        kube.apply(obj, manager="tests")
    yield broker
    for obj in (*ours, broker):
        kube.delete(Kind.of(obj), obj["metadata"]["name"], obj["metadata"].get("namespace"))


def test_with_those_rights_it_hears_of_all_its_kinds_and_finds_its_broker(
    installed: Object, control_plane: ControlPlane, kube: Kube, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        addressed = {**installed, "spec": {}, "status": {"address": {"url": receiver.url}}}
        kube.apply(addressed, manager="tests-status", subresource="status")
        as_account = Kube.from_kubeconfig(control_plane.kubeconfig, impersonate=user(MANIFEST))
        adapter = Adapter(MANIFEST, as_account, tmp_path, most=1 << 20)
        adapter.start()
        for reflector in adapter.reflectors:
            assert reflector.listed.wait(20), reflector.kind
        kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "heard-of"}}, manager="tests")
        received = receiver.until(lambda got: any(one.headers["ce-name"] == "heard-of" for one in got))
        adapter.stop()
        with pytest.raises(KubeError) as refused:
            as_account.get(NODE, "heard-of")
        kube.delete(NODE, "heard-of")
    assert refused.value.status == 403
    assert {one.headers["kn-namespace"] for one in received} == {"kaito-system"}
    assert adapter.failure is None
