"""The fast sweep: a PingSource that a function keeps only while something is unsettled, or may be unheard."""

from __future__ import annotations

from kaito.api.conditions import conditions_of
from kaito.api.resources import PING_SOURCE, TRIGGER, Object
from kaito.runtime.kube import Kube

NAMESPACE = "kaito-system"


def fast_sweep(function: str) -> Object:
    """Every 30 seconds, straight to the function: other functions need not hear of it."""
    return {
        "apiVersion": PING_SOURCE.api_version,
        "kind": PING_SOURCE.kind,
        "metadata": {"name": f"{function}-fast", "namespace": NAMESPACE},
        "spec": {
            "schedule": "*/30 * * * * *",
            "sink": {
                "ref": {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Service",
                    "name": function,
                    "namespace": NAMESPACE,
                }
            },
        },
    }


def hears(kube: Kube, function: str) -> bool:
    """May events reach the function? Not while its Trigger is being set up: what happens then, nobody is told of.

    Where there is no Trigger of its name, something else than Knative delivers.
    """
    ready = conditions_of(kube.get(TRIGGER, function, NAMESPACE) or {}).get("Ready")
    return ready is None or ready.status == "True"
