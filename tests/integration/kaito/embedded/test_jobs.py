"""The pods of Jobs as processes, made by Kubernetes' own Job controller: their containers and volumes."""

from __future__ import annotations

import ipaddress
import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

from kaito.api.resources import CONFIG_MAP, JOB, PERSISTENT_VOLUME_CLAIM, POD, SECRET
from tests.integration.kaito.embedded.conftest import Platform
from tests.integration.kaito.embedded.jobs import Jobs, alive, conditions, containers_of, phase_of, states, until

SHARED: dict[str, Any] = {"volumeMounts": [{"name": "shared", "mountPath": "/mnt/shared"}]}
VOLUMES = [{"name": "shared", "emptyDir": {}}]
#: It runs until it is ended.
RUN = "say(str(os.getpid())); threading.Event().wait()"


def test_containers_go_one_after_the_other_and_share_a_directory(jobs: Jobs) -> None:
    last = """
said = pathlib.Path("/mnt/shared/file").read_text()
assert pathlib.Path(os.environ["KUBECONFIG"]).is_file()
pathlib.Path(os.environ["TERMINATION_LOG"]).write_text(said)
"""
    jobs.make(
        "steps",
        jobs.program("one", "pathlib.Path('/mnt/shared/file').write_text('one ')", **SHARED),
        jobs.program("two", "pathlib.Path('/mnt/shared/file').open('a').write('two')", **SHARED),
        jobs.program("last", last, **SHARED),
        volumes=VOLUMES,
    )
    jobs.finished("steps")
    (pod,) = jobs.pods("steps")
    assert phase_of(pod) == "Succeeded"
    assert states(pod) == {"one": "terminated 0", "two": "terminated 0", "last": "terminated 0"}
    ended = [it["state"]["terminated"] for it in containers_of(pod).values()]
    assert all(before["finishedAt"] <= after["startedAt"] for before, after in pairwise(ended))
    assert [it.get("message") for it in ended] == [None, None, "one two"]
    assert pod["status"]["podIPs"] == [{"ip": pod["status"]["podIP"]}]
    assert ipaddress.ip_address(pod["status"]["podIP"]) in ipaddress.ip_network("127.64.0.0/10")
    assert {it["status"] for kind, it in conditions(pod).items() if kind in ("PodScheduled", "Initialized")} == {"True"}
    name = f"pod-{pod['metadata']['name']}"
    until(lambda: name not in [thread.name for thread in threading.enumerate()])
    until(lambda: not list((jobs.here / "pods" / jobs.namespace).iterdir()))


def test_an_exit_code_that_only_a_person_can_mend_fails_the_job_at_once(jobs: Jobs) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [65]}}]}
    words = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    jobs.make(
        "bad",
        jobs.program("talks", "print('all is well')", **words),
        jobs.program("fails", "print('no such dataset'); sys.exit(65)", **words),
        jobs.program("never", "say('ran')"),
        job={"backoffLimit": 3, "podFailurePolicy": policy},
    )
    assert jobs.finished("bad", "Failed")["reason"] == "PodFailurePolicy"
    (pod,) = jobs.pods("bad")
    assert states(pod) == {"talks": "terminated 0", "fails": "terminated 65", "never": "waiting"}
    failed = containers_of(pod)["fails"]
    assert failed["state"]["terminated"]["message"] == "no such dataset"
    assert (failed["ready"], conditions(pod)["Initialized"]["status"]) == (False, "False")
    assert jobs.said() == []


def test_another_exit_code_makes_another_pod(jobs: Jobs) -> None:
    jobs.make(
        "again",
        jobs.program("main", "say('ran'); sys.exit(1 if (here / 'said').read_text() == 'ran\\n' else 0)"),
        job={"backoffLimit": 1},
    )
    jobs.finished("again")
    assert sorted(map(phase_of, jobs.pods("again"))) == ["Failed", "Succeeded"]
    assert jobs.said() == ["ran", "ran"]


def test_a_program_that_is_not_here_is_a_start_error(jobs: Jobs) -> None:
    jobs.make("none", {"name": "main", "image": "tests/job", "command": ["no-such-program"]})
    jobs.make("image", {"name": "main", "image": "tests/job"})
    for job, said in (("none", "no such program on this machine"), ("image", "set the container's command")):
        jobs.finished(job, "Failed")
        (pod,) = jobs.pods(job)
        ended = containers_of(pod)["main"]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert said in ended["message"]


def test_each_pod_listens_at_an_address_of_its_own(jobs: Jobs) -> None:
    server = """
with socket.create_server((os.environ["HOST"], 5000)) as listener:
    client, _ = listener.accept()
    client.sendall(os.environ["HOST"].encode())
    client.close()
"""
    jobs.make("two", jobs.program("main", server), job={"parallelism": 2, "completions": 2})

    def addresses() -> list[str]:
        running = [pod for pod in jobs.pods("two") if phase_of(pod) == "Running"]
        return [pod["status"]["podIP"] for pod in running] if len(running) == 2 else []

    found = until(addresses)
    assert len(set(found)) == 2
    for address in found:
        with until(lambda address=address: _connected(address)) as client:  # type: ignore[misc]
            assert client.recv(100).decode() == address
    jobs.finished("two")


def test_a_deleted_job_takes_its_processes_and_pods_with_it(jobs: Jobs) -> None:
    jobs.node("a")
    jobs.make("long", jobs.program("main", RUN), nodeSelector={"tests": jobs.namespace})
    jobs.make("free", jobs.program("main", RUN))
    pids = until(lambda: said if len(said := jobs.said()) == 2 else None)
    for job in ("long", "free"):
        jobs.kube.delete(JOB, job, jobs.namespace, propagation="Background")
    until(lambda: not jobs.pods("long") and not jobs.pods("free"))
    until(lambda: not any(alive(int(pid)) for pid in pids))


def test_a_deleted_pod_ends_and_is_made_again(jobs: Jobs) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [65, 137]}}]}
    jobs.node("a")
    jobs.make(
        "long",
        jobs.program("main", RUN),
        job={"backoffLimit": 3, "podFailurePolicy": policy},
        nodeSelector={"tests": jobs.namespace},
    )
    first, pid = jobs.pod("long", "Running")["metadata"], int(until(jobs.said)[0])
    jobs.kube.delete(POD, first["name"], jobs.namespace)
    until(lambda: jobs.kube.get(POD, first["name"], jobs.namespace) is None)
    assert not alive(pid)
    until(lambda: len(jobs.said()) == 2, 60)


def test_a_name_that_is_taken_again_has_a_directory_of_its_own(jobs: Jobs) -> None:
    slow = "signal.signal(signal.SIGTERM, lambda *_: threading.Timer(0.5, os._exit, [0]).start())\n"
    first = jobs.make_pod("same", jobs.program("main", f"{slow}say(os.environ['TMPDIR']); threading.Event().wait()"))
    directory = Path(until(jobs.said)[0])
    jobs.kube.delete(POD, "same", jobs.namespace, grace_seconds=0)
    until(lambda: jobs.kube.get(POD, "same", jobs.namespace) is None)
    second = jobs.make_pod(
        "same", jobs.program("main", "pathlib.Path('own').touch(); say(os.getcwd()); when((here / 'go').exists)")
    )
    own = Path(until(lambda: said[1] if len(said := jobs.said()) == 2 else None))
    until(lambda: not directory.exists())
    assert (own / "own").exists()
    (jobs.here / "go").touch()
    pod = until(lambda: p if phase_of(p := jobs.kube.get(POD, "same", jobs.namespace) or {}) == "Succeeded" else None)
    assert pod["metadata"]["uid"] == second["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_pod_waits_for_what_it_names(jobs: Jobs, platform: Platform) -> None:
    password = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}}
    mounts = [{"name": "settings", "mountPath": "/mnt/settings"}]
    jobs.make(
        "waits",
        jobs.program("first", "say(pathlib.Path('/mnt/settings/a').read_text())", volumeMounts=mounts),
        jobs.program("main", "say(os.environ['PASSWORD'])", env=[password]),
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}],
    )
    assert jobs.waiting("waits", "CreateContainerConfigError") == 'configmap "settings" not found: create it'
    platform.add(CONFIG_MAP, "settings", data={"a": "setting"})
    until(lambda: jobs.waiting("waits", "CreateContainerConfigError") == 'secret "hidden" not found: create it')
    (pod,) = jobs.pods("waits")
    assert phase_of(pod) == "Pending"
    platform.add(SECRET, "hidden", stringData={"password": "pass"})
    jobs.finished("waits")
    assert jobs.said() == ["setting", "pass"]


def test_a_claim_keeps_what_the_last_job_wrote(jobs: Jobs, platform: Platform) -> None:
    pod: dict[str, Any] = {"volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": "results"}}]}
    mounts = [{"name": "claim", "mountPath": "/mnt/claim"}]
    jobs.make(
        "writes", jobs.program("main", "pathlib.Path('/mnt/claim/a').write_text('1')", volumeMounts=mounts), **pod
    )
    assert jobs.waiting("writes", "FailedMount") == 'persistentvolumeclaim "results" not found: create it'
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    platform.add(PERSISTENT_VOLUME_CLAIM, "results", spec=storage)
    jobs.finished("writes")
    jobs.make(
        "reads", jobs.program("main", "say(pathlib.Path('/mnt/claim/a').read_text())", volumeMounts=mounts), **pod
    )
    jobs.finished("reads")
    assert jobs.said() == ["1"]
    jobs.kube.delete(PERSISTENT_VOLUME_CLAIM, "results", jobs.namespace)
    until(lambda: jobs.kube.get(PERSISTENT_VOLUME_CLAIM, "results", jobs.namespace) is None)


def test_a_volume_that_no_directory_can_be_is_refused(jobs: Jobs) -> None:
    jobs.make("host", jobs.program("main", ""), volumes=[{"name": "etc", "hostPath": {"path": "/etc"}}])
    assert jobs.waiting("host", "FailedMount") == "a volume of kind hostPath cannot be had here: use a cluster"


def _connected(address: str) -> socket.socket | None:
    try:
        return socket.create_connection((address, 5000), timeout=5)
    except ConnectionRefusedError:  # it has not come so far
        return None
