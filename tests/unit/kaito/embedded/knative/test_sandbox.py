from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from kaito.embedded.knative.host import Host
from kaito.embedded.knative.revision import PodFailure
from kaito.embedded.knative.sandbox import NOT_RUN, Sandbox, expand
from kaito.embedded.process import ProcessTable


class NoImages:
    def missing(self, image: str) -> str | None:
        return f"the image {image} is not here"

    def content(self, image: str, credentials: Sequence[bytes]) -> Path:
        raise AssertionError(image)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    kube, table = cast("Any", None), ProcessTable(tmp_path)
    return Host(kube, tmp_path, table, tmp_path / "pods", tmp_path, NoImages(), tmp_path / "gpu")


def sandbox(host: Host, **spec: Any) -> Sandbox:
    return Sandbox("ns", {"containers": [{}], **spec}, host, host.directory / "one")


def container(*command: str, **fields: Any) -> dict[str, Any]:
    return {"name": "main", "command": list(command), **fields}


def test_a_program_runs_in_its_directory_with_what_it_is_told(host: Host) -> None:
    made = sandbox(host, volumes=[{"name": "v", "emptyDir": {}}])
    made.prepare()
    program = "import os, sys; open('out', 'w').write(' '.join((os.environ['WHERE'], *sys.argv[1:])))"
    mounts, env = [{"name": "v", "mountPath": "/mnt/v"}], [{"name": "WHERE", "value": "/mnt/v/$(WHO)"}]
    run = container(sys.executable, "-c", program, args=["$(WHO)", "/mnt/v"], env=env, volumeMounts=mounts)
    started = made.start(run, {"WHO": "me"}, "a-log")
    assert started.process.wait(10) == 0
    started.process.stop()
    here = made.directory / "volumes" / "v"
    assert (made.directory / "out").read_text() == f"{here}/me me {here}"
    assert (started.cwd, started.env["HOME"]) == (made.directory, str(made.directory))
    assert started.process.log.name == "a-log.log"


def test_it_is_prepared_once_and_removed_whole(host: Host) -> None:
    made = sandbox(host)
    made.prepare()
    (made.directory / "file").touch()
    made.prepare()
    assert (made.directory / "file").exists()
    made.remove()
    assert not made.directory.exists()


def test_what_an_earlier_attempt_left_is_gone(host: Host) -> None:
    (host.directory / "one").mkdir(parents=True)
    (host.directory / "one" / "file").touch()
    made = sandbox(host)
    made.prepare()
    assert not (made.directory / "file").exists()


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (container("no-such-program"), "no such program on this machine"),
        (container("true", args=["a\0b"]), "cannot run 'true'"),
        ({"name": "main"}, "runs processes, not images: set the container's command"),
    ],
)
def test_what_can_never_be_run_says_why(host: Host, run: dict[str, Any], said: str) -> None:
    made = sandbox(host)
    made.prepare()
    with pytest.raises(PodFailure, match=said) as failure:
        made.start(run, {}, "log")
    assert failure.value.reason == NOT_RUN


def test_all_that_the_machine_lacks_is_said_at_once(host: Host) -> None:
    first = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    volumes = [{"name": "v", "image": {"reference": "model:1"}}]
    made = sandbox(host, initContainers=[first], volumes=volumes)
    with pytest.raises(PodFailure, match=r"model:1 is not here; it needs 2 nvidia.com/gpu") as failure:
        made.prepare()
    assert failure.value.reason == "ImagePullBackOff"
    with pytest.raises(PodFailure) as failure:
        sandbox(host, initContainers=[first]).prepare()
    assert failure.value.reason == "GpuMissing"
    assert not made.directory.exists()
    host.gpu_device.touch()
    sandbox(host, initContainers=[first]).prepare()
    assert made.directory.is_dir()


@pytest.mark.parametrize(
    ("said", "meant"),
    [("$(PORT)", "80"), ("a$(PORT)b", "a80b"), ("$(NO)", "$(NO)"), ("$$(PORT)", "$(PORT)"), ("$PORT", "$PORT")],
)
def test_expand(said: str, meant: str) -> None:
    assert expand(said, {"PORT": "80"}) == meant
