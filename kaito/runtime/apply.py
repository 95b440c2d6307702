"""Carrying out a plan: the only place where a function writes."""

from __future__ import annotations

from kaito.api.resources import Kind
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.plan import Apply, Delete, Effect, SetFinalizers


def run(effect: Effect, kube: Kube, manager: str) -> None:
    """One write, as field manager ``manager``; raises KubeError, and Conflict where what was observed is no more."""
    match effect:
        case Apply():
            kube.apply(effect.object, manager=manager, subresource=effect.subresource)
        case SetFinalizers():
            _set_finalizers(effect, kube)
        case Delete():
            kube.delete(effect.kind, effect.name, effect.namespace or None, uid=effect.uid)


def _set_finalizers(effect: SetFinalizers, kube: Kube) -> None:
    meta = effect.object["metadata"]
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": list(effect.finalizers)}}
    try:
        kube.patch(Kind.of(effect.object), meta["name"], meta.get("namespace"), body)
    except KubeError as error:
        if error.status != 404:  # gone is what a removed finalizer is for
            raise
