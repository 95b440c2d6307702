"""Where the cluster is: its addresses, its directories on the machine, and the same ones as the node sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kaito.embedded.cache import cache_dir

NODE_NAME: Final = "kaito-node"
MACHINE_ADDRESS: Final = "10.88.0.1"
NODE_ADDRESS: Final = "10.88.0.2"
LINK_PREFIX: Final = 30
#: As in settings/cni.conflist and settings/kube-proxy.yaml.
POD_CIDR: Final = "10.244.0.0/16"
SERVICE_CIDR: Final = "10.96.0.0/16"
#: The first of SERVICE_CIDR: the API server's own Service.
API_ADDRESS: Final = "10.96.0.1"
#: The gateway's ports on NODE_ADDRESS: what everybody reaches, and what only the cluster does.
EXTERNAL_PORT: Final = 80
INTERNAL_PORT: Final = 8080
#: Below every cgroup hierarchy, as in settings/kubelet.yaml.
CGROUP: Final = "kaito-cluster"
#: The machine's end of the link.
INTERFACE: Final = "kaito0"
CONTAINERD_SOCKET: Final = Path("/run/containerd/containerd.sock")
#: As in settings/containerd.toml: whom it trusts, a directory a registry.
REGISTRIES: Final = Path("/run/registries")


@dataclass(frozen=True, slots=True)
class Layout:
    """``state`` outlives the cluster, for its images; ``node`` is there while it runs."""

    state: Path

    @classmethod
    def of_this_user(cls) -> Layout:
        """One cluster for each user of a machine: its addresses are fixed."""
        return cls(cache_dir() / "cluster")

    @property
    def containerd(self) -> Path:
        return self.state / "containerd"

    @property
    def node(self) -> Path:
        return self.state / "node"

    @property
    def control_plane(self) -> Path:
        return self.node / "control-plane"

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.node / "logs"


#: Short paths, for sockets, and the ones that the files under settings/ name.
INSIDE: Final = Layout(Path("/run/kaito"))
