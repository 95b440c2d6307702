"""How many processes a Knative Service has, down to none, and who waits for one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from kaito.api.resources import KNATIVE_SERVICE, NODE, REVISION
from tests.integration.kaito.embedded.conftest import MANAGER, Platform
from tests.integration.kaito.embedded.jobs import until


def test_scales_to_zero_and_back(platform: Platform) -> None:
    platform.apply("web", annotations={"autoscaling.knative.dev/window": "6s"})
    platform.ready("web")
    until(lambda: platform.said[-1] == "web: Scaled to zero")
    until(lambda: platform.activity("web-00001") == ("False", "NoTraffic"))
    assert platform.condition("web")["status"] == "True"
    assert platform.env("web")["K_REVISION"] == "web-00001"
    assert platform.said[-1] == "web: Ready"
    until(lambda: platform.activity("web-00001") == ("True", ""))


def test_at_zero_a_request_waits_for_a_node_too(platform: Platform) -> None:
    name = f"node-{platform.namespace}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}

    def add_node() -> None:
        platform.kube.apply(node, manager=MANAGER)
        platform.make_ready({**node})

    selector = {"kubernetes.io/hostname": name}
    add_node()
    platform.apply("web", annotations={"autoscaling.knative.dev/window": "6s"}, nodeSelector=selector, timeoutSeconds=2)
    platform.ready("web")
    until(lambda: platform.said[-1] == "web: Scaled to zero")
    platform.kube.delete(NODE, name)
    until(lambda: platform.kube.get(NODE, name) is None)

    late = platform.get("web")
    assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
    assert late.text == "Service web was not ready within 2 seconds: no nodes available to schedule pods.\n"
    assert platform.activity("web-00001") == ("Unknown", "Queued")
    assert "no nodes available" in platform.failed("web")["message"]
    until(lambda: platform.activity("web-00001") == ("False", "NoTraffic"))
    assert platform.get("web").status_code == 503

    add_node()  # who gave up may ask again: the pod starts without that
    until(lambda: platform.activity("web-00001") == ("True", ""))
    assert platform.get("web").status_code == 200
    platform.kube.delete(NODE, name)


def test_of_its_revisions_those_are_there_that_requests_may_reach(platform: Platform) -> None:
    platform.apply("web")
    platform.ready("web")
    platform.apply("web", env=[{"name": "A", "value": "1"}])
    until(lambda: platform.status("web").get("latestReadyRevisionName") == "web-00002")

    def there() -> list[str]:
        found = platform.kube.list(REVISION, platform.namespace, {"serving.knative.dev/service": "web"}).items
        return [it["metadata"]["name"] for it in found]

    until(lambda: there() == ["web-00002"])
    platform.kube.delete(KNATIVE_SERVICE, "web", platform.namespace)
    until(lambda: there() == [])


def test_requests_wait_their_turn(platform: Platform) -> None:
    platform.apply("web", containerConcurrency=1)
    platform.ready("web")
    begun = time.monotonic()
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(platform.get, "web", "/slow") for _ in range(3)]
    assert [answer.result().status_code for answer in answers] == [200] * 3
    assert time.monotonic() - begun >= 1.5


def test_requests_wait_for_readiness_and_not_for_ever(platform: Platform) -> None:
    platform.apply("web", readinessProbe={"exec": {"command": ["false"]}}, timeoutSeconds=1)
    until(lambda: platform.condition("web")["status"] == "Unknown")
    answer = platform.get("web")
    assert (answer.status_code, answer.text) == (503, "Service web was not ready within 1 seconds.\n")
    assert answer.headers["Retry-After"] == "5"
