"""The cluster: one node, Kubernetes on it, Knative on that, and the images of this project at hand.

What is installed here is what a user's cluster has already; KAITO itself is then installed as users install it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import yaml

from kaito.api.conditions import conditions_of
from kaito.api.resources import NODE as NODE_KIND
from kaito.api.resources import Kind, Object
from kaito.embedded import gobuild, manifests
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import locked
from kaito.embedded.programs import fetch
from kaito.runtime.kube import Kube
from tests.cluster import images, knative, layout
from tests.cluster.commands import wait_for
from tests.cluster.containerd import Containerd
from tests.cluster.envoy_binary import binary
from tests.cluster.images import Report
from tests.cluster.layout import Layout
from tests.cluster.machine import Machine
from tests.cluster.programs import GO_MODULES, NODE

_HERE: Final = Path(__file__).parent
_DEPLOYMENT: Final = Kind("apps/v1", "Deployment")
_SYSTEM: Final = ("kube-system", "knative-serving", "knative-eventing")
_READY_SECONDS: Final = 180.0


class ClusterError(EmbeddedError):
    """The cluster does not come up; the message holds what is missing or a log's tail."""


class Cluster:
    """This user's one cluster."""

    def __init__(self, where: Layout | None = None) -> None:
        self._where = where or Layout.of_this_user()
        self._machine = Machine(self._where)
        self.kubeconfig = self._where.kubeconfig
        #: Of the gateway: where every route's host is served.
        self.address = layout.NODE_ADDRESS

    @property
    def node_pid(self) -> int | None:
        """Process 1 of the node, None where none runs."""
        return self._machine.pid

    @property
    def running(self) -> bool:
        return self.node_pid is not None

    def up(self, report: Report = lambda _: None) -> None:
        """Have it running with today's images; what runs already is kept. Raises EmbeddedError."""
        with self._alone(report):
            # All that the node runs: it has no way to the internet.
            fetch(NODE, lambda name, what: report(f"{name}: {what}"))
            binary(report)
            with ThreadPoolExecutor() as pool:
                # Knative's manifests come from Go modules, and take a second to read.
                objects = pool.submit(self._objects, report)
                wanted = images.prepare(report)
                if not self.running:
                    self._machine.end()
                    report("starting the node")
                    self._machine.start()
                self._wait(lambda: self._socket.exists(), lambda: "containerd does not answer")
                self.containerd.load(wanted, self._where.containerd / "loaded.json", report)
                self._wait(self._serves, lambda: "the API server does not answer")
                kube = self.kube()
                report("installing Knative")
                manifests.install_crds(kube, objects.result())
                manifests.install(kube, objects.result())
            self._wait(lambda: not self.waiting_for(), lambda: f"not ready: {', '.join(self.waiting_for())}")
            report("ready")

    def down(self, report: Report = lambda _: None) -> None:
        """End it and remove all that it had on this machine, except its images."""
        with self._alone(report):
            self._machine.end()

    def kube(self) -> Kube:
        """A connection as the administrator."""
        return Kube.from_kubeconfig(self.kubeconfig)

    def waiting_for(self) -> list[str]:
        """What of the cluster's own is not ready yet."""
        kube = self.kube()
        missing = [] if any(_is(node, "Ready") for node in kube.list(NODE_KIND).items) else ["the node"]
        deployments = [item for namespace in _SYSTEM for item in kube.list(_DEPLOYMENT, namespace).items]
        return missing + [item["metadata"]["name"] for item in deployments if not _is(item, "Available")]

    @property
    def containerd(self) -> Containerd:
        """Of the node that runs."""
        return Containerd(self._socket)

    def trust(self, host: str, authority: Path) -> None:
        """Have the node pull from that registry, whose certificate ``authority`` has signed."""
        where = layout.REGISTRIES / host
        seen = self._machine.inside(where)
        seen.mkdir(parents=True)
        shutil.copy(authority, seen / "ca.crt")
        (seen / "hosts.toml").write_text(f'[host."https://{host}"]\nca = "{where / "ca.crt"}"\n')

    def _objects(self, report: Report) -> list[Object]:
        """What is installed on the bare cluster: names, the gateway, Knative."""
        go = gobuild.toolchain(GO_MODULES / "serving", report)
        own = (_HERE / "settings" / "dns.yaml", _HERE / "ingress.yaml")
        return [
            *knative.manifests(str(go)),
            *(document for file in own for document in yaml.safe_load_all(file.read_text())),
        ]

    @property
    def _socket(self) -> Path:
        return self._machine.inside(layout.CONTAINERD_SOCKET)

    def _serves(self) -> bool:
        return self.kubeconfig.exists() and self.kube().probe()

    def _alone(self, report: Report) -> contextlib.AbstractContextManager[None]:
        return locked(self._where.state / "lock", lambda held: report(f"waiting for another: {held}"))

    def _wait(self, ready: Callable[[], bool], otherwise: Callable[[], str]) -> None:
        """Poll; raises EmbeddedError, at once where the node has ended."""

        def looked() -> bool:
            if not self.running:
                raise ClusterError(f"the node has ended: {self._machine.problem()}")
            return ready()

        wait_for(looked, lambda: f"{otherwise()} (the logs are in {self._where.logs})", _READY_SECONDS)


def _is(obj: Object, condition: str) -> bool:
    found = conditions_of(obj).get(condition)
    return found is not None and found.status == "True"
