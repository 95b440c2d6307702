"""What the cluster is made of: programs built once from the Go modules pinned under gomodules/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kaito.embedded.programs import (
    CONTROL_PLANE,
    KUBE_PROXY,
    KUBE_SCHEDULER,
    KUBELET,
    Program,
)

GO_MODULES: Final = Path(__file__).parent / "gomodules"


def _pinned(module: str, name: str, package: str) -> Program:
    return Program(name, GO_MODULES / module, package)


def _containerd(name: str) -> Program:
    return _pinned("containerd", name, f"github.com/containerd/containerd/v2/cmd/{name}")


def _cni(package: str) -> Program:
    return _pinned("cni", package.rpartition("/")[2], f"github.com/containernetworking/plugins/plugins/{package}")


CONTAINERD: Final = _containerd("containerd")
CONTAINERD_SHIM: Final = _containerd("containerd-shim-runc-v2")
CTR: Final = _containerd("ctr")
CNI: Final = tuple(_cni(package) for package in ("ipam/host-local", "main/bridge", "main/loopback", "meta/portmap"))
COREDNS: Final = _pinned("coredns", "coredns", "github.com/coredns/coredns")

#: Run by the node itself; all else is an image.
NODE: Final = (*CONTROL_PLANE, KUBE_SCHEDULER, CONTAINERD, CONTAINERD_SHIM, CTR, *CNI, KUBELET, KUBE_PROXY)


def component(package: str) -> Program:
    """A program of Knative by its Go package, like knative.dev/serving/cmd/queue; named serving-queue."""
    _, module, _, *path = package.split("/")
    return _pinned(module, "-".join((module, *path)), package)
