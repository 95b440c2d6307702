"""The controller of Knative's Ingresses, in front of Envoy: the only stand-in of the test cluster.

A cluster of a user has Kourier, Contour or Istio here; none of them can be had as a Go module. It serves what Knative
Serving asks for, without TLS. What must be applied beside it is in ingress.yaml.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kaito.api.conditions import conditions_of, settle
from kaito.api.meta import Condition
from kaito.api.resources import Kind, Object
from kaito.cli.interrupts import sigterm_as_ctrl_c, undisturbed
from kaito.embedded.knative.follow import Follower
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.log import configure
from tests.cluster.envoy import EXTERNAL, INTERNAL, Address, Key, key, render
from tests.cluster.envoy_gateway import Gateway, NotServed

#: The value of ``ingress-class`` in the ConfigMap config-network.
INGRESS_CLASS: Final = "kaito.test.ingress.networking.knative.dev"
INGRESS: Final = Kind("networking.internal.knative.dev/v1alpha1", "Ingress")
SERVICE: Final = Kind("v1", "Service")
#: The Services of ingress.yaml, by the field of the status that names them.
GATEWAYS: Final = {
    "publicLoadBalancer": "gateway.kaito-ingress.svc.cluster.local",
    "privateLoadBalancer": "gateway-internal.kaito-ingress.svc.cluster.local",
}
_CLASS_ANNOTATION: Final = "networking.knative.dev/ingress.class"
_MANAGER: Final = "kaito-test-ingress"
_PAUSE: Final = 1.0
_POLL: Final = 0.2

log = structlog.get_logger()


def ours(ingress: Object) -> bool:
    """Is it of our class?"""
    annotations: Mapping[str, str] = ingress["metadata"].get("annotations", {})
    return annotations.get(_CLASS_ANNOTATION) == INGRESS_CLASS


def status(ingress: Object, problem: str, now: datetime) -> Object:
    """Its status once Envoy serves it; ``problem`` says what of it cannot be served, and is empty where all is."""
    if problem:
        configured = Condition(type="NetworkConfigured", status="Unknown", reason="NotWhollyServed", message=problem)
    else:
        configured = Condition(type="NetworkConfigured", status="True")
    wanted = [
        Condition(type="LoadBalancerReady", status="True"),
        configured,
        configured.model_copy(update={"type": "Ready"}),
    ]
    return {
        "observedGeneration": ingress["metadata"]["generation"],
        "conditions": [
            {name: value for name, value in condition.items() if value}
            for condition in settle(wanted, conditions_of(ingress), now)
        ],
        **{field: {"ingress": [{"domainInternal": name}]} for field, name in GATEWAYS.items()},
    }


class Mirror:
    """The objects of one kind as they are now; None before the first list. ``changed`` is called after each change."""

    def __init__(self, kube: Kube, kind: Kind, changed: Callable[[], None]) -> None:
        self.objects: Mapping[Key, Object] | None = None  # replaced, never changed: readers need no lock
        self._changed = changed
        self._follower = Follower(kube, kind, self._on_list, self._on_event)
        self.start, self.stop = self._follower.start, self._follower.stop

    def _on_list(self, items: tuple[Object, ...]) -> None:
        self.objects = {key(it): it for it in items}
        self._changed()

    def _on_event(self, change: str, obj: Object) -> None:
        others = {where: it for where, it in (self.objects or {}).items() if where != key(obj)}
        self.objects = others if change == "DELETED" else {**others, key(obj): obj}
        self._changed()


class Controller:
    """Has Envoy serve all Ingresses of our class, and says in their status when it does."""

    def __init__(self, kube: Kube, gateway: Gateway) -> None:
        self._kube, self._gateway = kube, gateway
        self._wake = threading.Event()
        self._ingresses = Mirror(kube, INGRESS, self._wake.set)
        self._services = Mirror(kube, SERVICE, self._wake.set)
        self._served = ""

    def run(self) -> None:
        """Run until the calling thread is interrupted; what is not foreseen ends it too."""
        # A Follower waits ever longer for a kind that is not there, and this one may come up to a minute later.
        while not self._kube.probe(INGRESS.path()):
            self._wake.wait(_POLL)
        mirrors = (self._services, self._ingresses)
        for mirror in mirrors:
            mirror.start()
        try:
            settled = True
            while True:
                self._wake.wait(None if settled else _PAUSE)
                self._wake.clear()
                settled = self._settle()
        finally:
            for mirror in mirrors:
                mirror.stop()

    def _settle(self) -> bool:
        """Serve and report what there is; false where some of it has to be tried again."""
        everyone, services = self._ingresses.objects, self._services.objects
        if everyone is None or services is None:
            return True
        ingresses = [it for it in everyone.values() if ours(it)]
        rendering = render(ingresses, services)
        if rendering.version != self._served:
            self._served = ""  # what is served where this fails is anyone's guess
            try:
                self._gateway.serve(rendering)
            except NotServed as error:
                log.warning("not served", error=str(error))
                return False
            self._served = rendering.version
            log.info("served", version=rendering.version, ingresses=len(ingresses))
        reported = [self._report(it, rendering.problems.get(key(it), "")) for it in ingresses]
        return all(reported)

    def _report(self, ingress: Object, problem: str) -> bool:
        wanted = status(ingress, problem, datetime.now(UTC))
        if wanted == ingress.get("status"):
            return True
        meta = {name: ingress["metadata"][name] for name in ("namespace", "name", "uid")}
        obj = {"apiVersion": INGRESS.api_version, "kind": INGRESS.kind, "metadata": meta, "status": wanted}
        try:
            self._kube.apply(obj, manager=_MANAGER, subresource="status")
        except KubeError as error:  # where it is gone, we shall hear of that
            log.warning("not reported", ingress="/".join(key(ingress)), error=str(error))
            return False
        log.info("reported", ingress="/".join(key(ingress)), ready=wanted["conditions"][-1])
        return True


def main() -> None:
    """Run Envoy and the controller until SIGTERM."""
    parser = argparse.ArgumentParser(description="The controller of Knative's Ingresses, in front of Envoy.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--envoy", type=Path, required=True, help="its program")
    parser.add_argument("--directory", type=Path, required=True, help="for Envoy's files and its log")
    parser.add_argument("--external", type=Address.parse, required=True, help="HOST:PORT of what all may reach")
    parser.add_argument("--internal", type=Address.parse, required=True, help="HOST:PORT of what is for the cluster")
    flags = parser.parse_args()
    configure()
    sigterm_as_ctrl_c()
    gateway = Gateway(flags.envoy, flags.directory, {EXTERNAL: flags.external, INTERNAL: flags.internal})
    try:
        Controller(Kube.from_kubeconfig(flags.kubeconfig), gateway).run()
    except KeyboardInterrupt:
        log.info("stopping")
    finally:
        with undisturbed():
            gateway.stop()


if __name__ == "__main__":
    main()
