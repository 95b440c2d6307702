from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaito.api.resources import CONFIG_MAP, CRD, NAMESPACE, SECRET, Kind, Object
from kaito.embedded import programs
from kaito.embedded.controlplane import ControlPlane, ControlPlaneError
from kaito.runtime.kube import Conflict, Kube, KubeError, Unavailable

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
THING = Kind("tests.kaito.sh/v1", "Thing")
MANAGER = "tests"


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    never, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        never.wait(0.02)


def named(kind: Kind, name: str, namespace: str | None = None, **rest: Any) -> Object:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **rest}


def owned_by(owner: Object, name: str) -> Object:
    obj = named(CONFIG_MAP, name, owner["metadata"]["namespace"])
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    obj["metadata"]["ownerReferences"] = [reference]
    return obj


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kube.apply(named(NAMESPACE, name), manager=MANAGER)
    yield name
    kube.delete(NAMESPACE, name)


def as_service_account(plane: ControlPlane, kube: Kube, namespace: str, name: str) -> Kube:
    """A connection with a token of this service account and nothing else."""
    from kubernetes import client

    kube.apply(named(SERVICE_ACCOUNT, name, namespace), manager=MANAGER)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"expirationSeconds": 600},
    }
    path = SERVICE_ACCOUNT.path(namespace, name, "token")
    token = kube.create(request, subresource_of=path)["status"]["token"]
    configuration = client.Configuration(host=kube.server)
    configuration.ssl_ca_cert = str(plane.kubeconfig.parent / "certificates" / "ca.crt")
    configuration.api_key = {"BearerToken": f"Bearer {token}"}
    return Kube(client.ApiClient(configuration))


def test_objects_live_a_life(kube: Kube, namespace: str) -> None:
    made = kube.apply(named(CONFIG_MAP, "it", namespace, data={"a": "1"}), manager=MANAGER)
    assert kube.get(CONFIG_MAP, "it", namespace) == made
    changed = kube.patch(CONFIG_MAP, "it", namespace, {"data": {"b": "2"}})
    assert changed["data"] == {"a": "1", "b": "2"}
    assert [item["metadata"]["name"] for item in kube.list(CONFIG_MAP, namespace, {"no": "such"}).items] == []
    assert kube.list(CONFIG_MAP, namespace, {"no": {"such", "other"}}).items == ()
    with pytest.raises(Conflict):
        kube.create(named(CONFIG_MAP, "it", namespace))
    with pytest.raises(Conflict):
        kube.delete(CONFIG_MAP, "it", namespace, uid="00000000-0000-0000-0000-000000000000")
    kube.delete(CONFIG_MAP, "it", namespace, uid=made["metadata"]["uid"])
    assert kube.get(CONFIG_MAP, "it", namespace) is None
    kube.delete(CONFIG_MAP, "it", namespace)


def test_a_watch_tells_what_happens_and_leaves_the_connection_usable(kube: Kube, namespace: str) -> None:
    version = kube.list(SECRET, namespace).resource_version
    watch = kube.watch(SECRET, version, namespace)
    secret = named(SECRET, "it", namespace)
    made = kube.apply(secret, manager=MANAGER)
    first = next(watch)
    assert (first.type, first.object) == ("ADDED", made)
    kube.apply({**secret, "stringData": {"a": "1"}}, manager=MANAGER)
    assert next(watch).type == "MODIFIED"
    kube.delete(SECRET, "it", namespace)
    assert next(watch).type == "DELETED"
    watch.close()
    assert kube.probe()
    assert kube.get(NAMESPACE, namespace) is not None


def test_apply_with_a_uid_never_makes_a_new_object(kube: Kube, namespace: str) -> None:
    gone = kube.apply(named(CONFIG_MAP, "it", namespace), manager=MANAGER)
    kube.delete(CONFIG_MAP, "it", namespace)
    again = named(CONFIG_MAP, "it", namespace)
    again["metadata"]["uid"] = gone["metadata"]["uid"]
    with pytest.raises(Conflict):
        kube.apply(again, manager=MANAGER)
    assert kube.get(CONFIG_MAP, "it", namespace) is None


def test_apply_with_an_old_version_changes_nothing(kube: Kube, namespace: str) -> None:
    old = kube.apply(named(CONFIG_MAP, "it", namespace, data={"a": "1"}), manager=MANAGER)
    new = kube.patch(CONFIG_MAP, "it", namespace, {"data": {"a": "2"}})
    late = named(CONFIG_MAP, "it", namespace, data={"a": "3"})
    late["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        kube.apply(late, manager=MANAGER)
    assert kube.get(CONFIG_MAP, "it", namespace) == new


def test_service_accounts_may_only_what_they_are_bound_to(
    control_plane: ControlPlane, kube: Kube, namespace: str
) -> None:
    them = as_service_account(control_plane, kube, namespace, "reader")
    with pytest.raises(KubeError) as refused:
        them.list(CONFIG_MAP, namespace)
    assert refused.value.status == 403
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    binding = named(Kind("rbac.authorization.k8s.io/v1", "RoleBinding"), "reader", namespace)
    kube.apply({**binding, "roleRef": role, "subjects": [subject]}, manager=MANAGER)

    def may_read() -> bool:
        try:
            return bool(them.list(CONFIG_MAP, namespace).items)
        except KubeError:
            return False

    until(may_read)
    with pytest.raises(KubeError) as refused:
        them.apply(named(CONFIG_MAP, "it", namespace), manager=MANAGER)
    assert refused.value.status == 403


def test_what_is_owned_goes_with_its_owner_and_a_namespace_with_all(kube: Kube, namespace: str) -> None:
    owner = kube.apply(named(CONFIG_MAP, "owner", namespace), manager=MANAGER)
    kube.apply(owned_by(owner, "owned"), manager=MANAGER)
    kube.apply(named(CONFIG_MAP, "other", namespace), manager=MANAGER)
    kube.delete(CONFIG_MAP, "owner", namespace)
    until(lambda: kube.get(CONFIG_MAP, "owned", namespace) is None)
    assert kube.get(CONFIG_MAP, "other", namespace) is not None
    kube.delete(NAMESPACE, namespace)
    until(lambda: kube.get(NAMESPACE, namespace) is None)


def test_the_api_server_comes_back_on_its_port(control_plane: ControlPlane, kube: Kube, namespace: str) -> None:
    kube.apply(named(CONFIG_MAP, "it", namespace), manager=MANAGER)
    watch = kube.watch(CONFIG_MAP, kube.list(CONFIG_MAP, namespace).resource_version, namespace)
    control_plane.restart_apiserver()
    with pytest.raises((Unavailable, StopIteration)):
        next(watch)
    assert kube.get(CONFIG_MAP, "it", namespace) is not None


PLATFORM = """
import sys
from pathlib import Path
from kaito.embedded import programs
from kaito.embedded.controlplane import ControlPlane
ControlPlane(Path(sys.argv[1]), programs.prepare()).start()
print("ready", flush=True)
sys.stdin.read()
"""


def install_things(kube: Kube) -> None:
    names = {"kind": "Thing", "plural": "things", "singular": "thing"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "tests.kaito.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    kube.apply(named(CRD, "things.tests.kaito.sh", spec=spec), manager=MANAGER)

    def served() -> bool:
        try:
            kube.list(THING)
        except KubeError:
            return False
        return True

    until(served)


def test_a_killed_one_leaves_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", PLATFORM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"ready\n"
        kubeconfig = (tmp_path / "kubeconfig").read_text()
        ports = json.loads((tmp_path / "ports.json").read_text())
        Kube.from_kubeconfig(tmp_path / "kubeconfig").apply(named(CONFIG_MAP, "it", "default"), manager=MANAGER)

        second = ControlPlane(tmp_path, programs.prepare())
        with pytest.raises(ControlPlaneError, match=rf"process {killed.pid}.*kaito down"):
            second.start()
        killed.send_signal(signal.SIGKILL)
    until(lambda: not any(map(listening, ports.values())))

    second.start(before_controllers=install_things)
    try:
        assert (tmp_path / "kubeconfig").read_text() == kubeconfig
        kube = second.kube()
        assert kube.get(CONFIG_MAP, "it", "default") is not None
        # A kind that was there before the controllers is collected at once.
        owner = kube.apply(named(THING, "owner", "default"), manager=MANAGER)
        kube.apply(owned_by(owner, "owned"), manager=MANAGER)
        kube.delete(THING, "owner", "default")
        until(lambda: kube.get(CONFIG_MAP, "owned", "default") is None, 10)
    finally:
        second.stop()
    assert not any(map(listening, ports.values()))


def test_two_at_once_do_not_meet(control_plane: ControlPlane, kube: Kube, tmp_path: Path) -> None:
    # As where another program has taken a port since: new ones are chosen.
    (tmp_path / "ports.json").write_text((control_plane.kubeconfig.parent / "ports.json").read_text())
    other = ControlPlane(tmp_path, programs.prepare())
    other.start()
    try:
        other.kube().apply(named(NAMESPACE, "theirs"), manager=MANAGER)
        assert other.kube().server != kube.server
        assert kube.get(NAMESPACE, "theirs") is None
    finally:
        other.stop()
    assert kube.probe()


def test_a_program_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it is broken\nexit 3\n")
    broken.chmod(0o755)
    good = programs.prepare()
    plane = ControlPlane(
        tmp_path / "plane",
        programs.Programs(broken, good.kube_apiserver, good.kube_controller_manager, good.kubectl),
    )
    with pytest.raises(ControlPlaneError, match=r"(?s)etcd ended with exit code 3.*it is broken"):
        plane.start()


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-controller-manager"])
def test_what_ends_is_started_again(control_plane: ControlPlane, kube: Kube, namespace: str, name: str) -> None:
    before = control_plane._running[name].process
    before.kill()
    until(lambda: control_plane._running[name].process.pid != before.pid)

    def collects() -> bool:
        """The API serves, and the garbage collector behind it works."""
        try:
            owner = kube.apply(named(CONFIG_MAP, f"owner-{name}", namespace), manager=MANAGER)
            kube.apply(owned_by(owner, f"child-{name}"), manager=MANAGER)
            kube.delete(CONFIG_MAP, f"owner-{name}", namespace)
        except KubeError:
            return False
        return True

    until(collects, 60)
    until(lambda: kube.get(CONFIG_MAP, f"child-{name}", namespace) is None, 60)
