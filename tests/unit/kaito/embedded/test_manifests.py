"""Variables that only the platform knows, put into the manifests that a cluster gets."""

from __future__ import annotations

from kaito.api.resources import Object
from kaito.embedded.manifests import with_environment


def service(name: str, **environment: str) -> Object:
    container = {"name": "function", "env": [{"name": key, "value": value} for key, value in environment.items()]}
    template = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": template},
    }


CORE: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}


def test_every_knative_service_gets_them_in_the_place_of_its_own() -> None:
    given = [service("a", K_SINK="http://cluster", OTHER="1"), service("b"), CORE]
    made = with_environment(given, {"K_SINK": "http://127.0.0.1:1"})
    assert made == [
        service("a", OTHER="1", K_SINK="http://127.0.0.1:1"),
        service("b", K_SINK="http://127.0.0.1:1"),
        CORE,
    ]
    assert given[0] == service("a", K_SINK="http://cluster", OTHER="1"), "nothing is changed in place"


def test_or_the_one_of_that_name() -> None:
    assert with_environment([service("a"), service("b")], {"X": "1"}, "b") == [service("a"), service("b", X="1")]
