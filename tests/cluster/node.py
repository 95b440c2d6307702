"""The node from inside: ``python -m tests.cluster.node STATE``, in namespaces of its own, starts all of it.

A process tree in its own mount, net, pid, ipc and uts namespaces, so that ending one pid ends everything and
nothing of the machine has been changed. It only runs processes; whoever started it talks to its API server.
"""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from kaito.embedded import certificates
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.process import ProcessTable
from kaito.embedded.programs import (
    ETCD,
    KUBE_APISERVER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_PROXY,
    KUBE_SCHEDULER,
    KUBECTL,
    KUBELET,
    Programs,
    fetch,
)
from kaito.embedded.site import Site
from kaito.embedded.supervisor import Supervised
from kaito.runtime.log import configure
from tests.cluster import layout
from tests.cluster.cgroups import make
from tests.cluster.commands import run, wait_for
from tests.cluster.containerd import Containerd
from tests.cluster.envoy_binary import binary
from tests.cluster.layout import INSIDE
from tests.cluster.programs import CNI, CONTAINERD, CONTAINERD_SHIM, NODE

FILES: Final = Path(__file__).parent / "settings"
_SYSCTLS: Final = {
    "ipv4/ip_forward": "1",
    "bridge/bridge-nf-call-iptables": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
}
#: As in settings/containerd-images.toml: whoever waits for containerd must not find this one.
_BOOKS_SOCKET: Final = Path("/run/containerd-images/containerd.sock")
_CERTIFICATES: Final = certificates.Certificates(INSIDE.control_plane / "certificates")
SITE: Final = Site(
    address=layout.NODE_ADDRESS,
    hosts=(
        *certificates.HOSTS,
        layout.NODE_ADDRESS,
        layout.API_ADDRESS,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc.cluster.local",
    ),
    identities={
        **certificates.IDENTITIES,
        "kubelet": certificates.Identity(f"system:node:{layout.NODE_NAME}", ("system:nodes",)),
        "kubelet-client": certificates.Identity("kube-apiserver-kubelet-client", ("system:masters",)),
        "kube-proxy": certificates.Identity("system:kube-proxy"),
        "kube-scheduler": certificates.Identity("system:kube-scheduler"),
    },
    apiserver={
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        # For logs and exec.
        "kubelet-client-certificate": _CERTIFICATES.certificate("kubelet-client"),
        "kubelet-client-key": _CERTIFICATES.key("kubelet-client"),
        "kubelet-preferred-address-types": "InternalIP",
    },
    controllers={},
)
log = structlog.get_logger()


class Node:
    """Everything that runs on the node but pods, each started again when it ends."""

    def __init__(self) -> None:
        self._programs = fetch(NODE)
        self._table = ProcessTable(INSIDE.node)

    def start(self) -> None:
        """Containers and control plane side by side, then what needs both."""
        with ThreadPoolExecutor() as pool:
            containers = pool.submit(self._start_containerd)
            self._start_control_plane()
            containers.result()
        self._start_kubelet()
        log.info("started")

    def _start_containerd(self) -> None:
        binaries = INSIDE.node / "bin"
        binaries.mkdir()
        for program in (CONTAINERD_SHIM, *CNI):
            (binaries / program.name).symlink_to(self._programs[program])
        Path("/run/cni").mkdir()
        shutil.copy(FILES / "cni.conflist", "/run/cni/10-pods.conflist")
        if (INSIDE.containerd / "io.containerd.metadata.v1.bolt").exists():
            self._forget_containers()
        self._run_containerd()

    def _forget_containers(self) -> None:
        """What a node that was ended had run is in containerd's books still; its images are what we want to keep."""
        # Without Kubernetes' own view of containers, which would be out of date.
        alone = ["--config", str(FILES / "containerd-images.toml")]
        process = self._table.start("containerd-images", [str(self._programs[CONTAINERD]), *alone])
        try:
            wait_for(lambda: _listening(_BOOKS_SOCKET), lambda: "containerd does not answer")
            ctr = Containerd(_BOOKS_SOCKET).ctr
            for what in ("containers", "snapshots"):
                for line in ctr(what, "ls").splitlines()[1:]:
                    name, *_, kind = line.split()
                    if what == "containers" or kind == "Active":
                        ctr(what, "rm", name)
            for line in ctr("leases", "ls", "-q").splitlines():
                ctr("leases", "rm", line)
        finally:
            process.stop()

    def _run_containerd(self) -> None:
        self._supervise("containerd", [str(self._programs[CONTAINERD]), "--config", str(FILES / "containerd.toml")])
        wait_for(lambda: _listening(layout.CONTAINERD_SOCKET), lambda: "containerd does not answer")

    def _start_control_plane(self) -> None:
        programs = Programs(
            *(self._programs[name] for name in (ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBECTL))
        )
        plane = ControlPlane(INSIDE.control_plane, programs, SITE)
        plane.start(lambda what: log.info(what))
        server = plane.server
        for name in ("kubelet", "kube-proxy", "kube-scheduler"):
            certificates.write_kubeconfig(INSIDE.node / f"{name}.kubeconfig", server, _CERTIFICATES, name)
        self._supervise(
            "kube-scheduler",
            [
                str(self._programs[KUBE_SCHEDULER]),
                f"--kubeconfig={INSIDE.node / 'kube-scheduler.kubeconfig'}",
                "--leader-elect=false",
                "--profiling=false",
            ],
        )
        self._supervise("kube-proxy", [str(self._programs[KUBE_PROXY]), f"--config={FILES / 'kube-proxy.yaml'}"])
        self._supervise(
            "ingress",
            [
                *(sys.executable, "-m", "tests.cluster.ingress"),
                f"--kubeconfig={plane.kubeconfig}",
                f"--envoy={binary(log.info)}",
                f"--directory={INSIDE.node / 'ingress'}",
                f"--external={layout.NODE_ADDRESS}:{layout.EXTERNAL_PORT}",
                f"--internal={layout.NODE_ADDRESS}:{layout.INTERNAL_PORT}",
            ],
        )

    def _start_kubelet(self) -> None:
        make(layout.CGROUP)
        self._supervise(
            "kubelet",
            [
                str(self._programs[KUBELET]),
                f"--config={FILES / 'kubelet.yaml'}",
                f"--kubeconfig={INSIDE.node / 'kubelet.kubeconfig'}",
                f"--root-dir={INSIDE.node / 'kubelet'}",
                f"--cert-dir={INSIDE.node / 'kubelet-certificates'}",
                f"--hostname-override={layout.NODE_NAME}",
                f"--node-ip={layout.NODE_ADDRESS}",
            ],
        )

    def _supervise(self, name: str, argv: list[str]) -> None:
        Supervised(lambda: self._table.start(name, argv)).watch()


def private_mounts(state: Path) -> None:
    """A /run and a /var of the node's own; the machine's are only read."""
    run("mount", "--bind", str(state), "/mnt")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for directory in (INSIDE.state, Path("/run/var/upper"), Path("/run/var/work")):
        directory.mkdir(parents=True)
    run("mount", "--move", "/mnt", str(INSIDE.state))
    layers = "lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, "/var")
    run("mount", "--make-rshared", "/")  # kubelet's volumes show in containers


def network() -> None:
    """The node's end of the link, which the machine has put here, and what pods and Services need."""
    wait_for(lambda: "eth0" in dict(socket.if_nameindex()).values(), lambda: "the machine makes no link")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{layout.NODE_ADDRESS}/{layout.LINK_PREFIX}", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    # Without a route to a Service's address its connection fails before it is translated.
    run("ip", "route", "add", "default", "via", layout.MACHINE_ADDRESS)
    for name, value in _SYSCTLS.items():
        (Path("/proc/sys/net") / name).write_text(value)


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def main(state: Path) -> None:
    """Start the node and stay; an error ends it, with its reason in the log."""
    configure()
    private_mounts(state)
    run("hostname", layout.NODE_NAME)
    network()
    Node().start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
