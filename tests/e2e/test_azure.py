"""Nodes from Azure's agent pools: the emulated Azure, and all else as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaito.api.resources import NODE
from kaito.embedded.arm.azure import Azure
from kaito.embedded.platform import Platform
from tests.e2e.conftest import User, until


class Site:
    """A platform on Azure that can be started anew."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start()

    def start(self) -> None:
        self.azure = Azure(self.directory)
        self.platform = Platform(self.directory, azure=self.azure)
        self.platform.start()
        self.user = User(self.platform)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.platform.stop()


def test_a_workspace_gets_an_agent_pool_which_outlives_a_restart_and_goes_with_it(site: Site) -> None:
    name = site.user.apply("phi-3-mini")
    site.user.wait_for(name, "ResourceReady")
    (node,) = site.user.kube.list(NODE).items
    assert re.fullmatch(r"aks-ws[0-9a-f]{9}-\d{8}-vmss000000", node["metadata"]["name"])
    pool = node["metadata"]["labels"]["kubernetes.azure.com/agentpool"]
    put = f"PUT agentPools/{pool} Standard_NC6s_v3 if-none-match: * -> 201"
    assert site.azure.wire() == [put]

    site.platform.stop()
    site.start()
    assert [it["metadata"]["uid"] for it in site.user.kube.list(NODE).items] == [node["metadata"]["uid"]]

    assert site.user.kubectl("delete", "workspace", name, "--timeout=60s").returncode == 0
    until(lambda: not site.user.left(), what="clean-up")
    (delete,) = site.azure.wire()
    assert re.fullmatch(rf'DELETE agentPools/{pool} if-match: "e\d+" -> 202', delete)
