"""What stands in files that Python does not read, and must be what Python says."""

from __future__ import annotations

import ipaddress
import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import layout, node
from tests.cluster.images import PAUSE
from tests.cluster.programs import COREDNS

SETTINGS = node.FILES


def read(name: str) -> Any:
    return yaml.safe_load((SETTINGS / name).read_text())


def test_addresses_and_cgroup() -> None:
    kubelet, pods = read("kubelet.yaml"), json.loads((SETTINGS / "cni.conflist").read_text())["plugins"][0]["ipam"]
    assert kubelet["cgroupRoot"] == f"/{layout.CGROUP}"
    assert pods["ranges"] == [[{"subnet": layout.POD_CIDR}]]
    assert read("kube-proxy.yaml")["clusterCIDR"] == layout.POD_CIDR
    services = ipaddress.ip_network(layout.SERVICE_CIDR)
    assert str(services[1]) == layout.API_ADDRESS
    assert ipaddress.ip_address(kubelet["clusterDNS"][0]) in services
    link = ipaddress.ip_network(f"{layout.NODE_ADDRESS}/{layout.LINK_PREFIX}", strict=False)
    assert ipaddress.ip_address(layout.MACHINE_ADDRESS) in link


def test_sockets_directories_and_images() -> None:
    containerd = tomllib.loads((SETTINGS / "containerd.toml").read_text())
    assert containerd["grpc"]["address"] == str(layout.CONTAINERD_SOCKET)
    assert read("kubelet.yaml")["containerRuntimeEndpoint"] == f"unix://{layout.CONTAINERD_SOCKET}"
    assert Path(containerd["root"]) == layout.INSIDE.containerd
    images = containerd["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == PAUSE
    dns = {it["kind"]: it for it in yaml.safe_load_all((SETTINGS / "dns.yaml").read_text())}
    (container,) = dns["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"/coredns:{COREDNS.version}")
    assert dns["Service"]["spec"]["clusterIP"] == read("kubelet.yaml")["clusterDNS"][0]
