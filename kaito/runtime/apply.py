"""Carrying out a plan: the only place where a function writes."""

from __future__ import annotations

import contextlib

from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Conflict, Kube, KubeError
from kaito.runtime.plan import Apply, Delete, Effect, Mark, Tell


def run(effect: Effect, kube: Kube, manager: str) -> None:
    """One write, as field manager ``manager``; raises KubeError, and Conflict where what was observed is no more."""
    match effect:
        case Apply():
            kube.apply(effect.object, manager=manager, subresource=effect.subresource)
        case Mark():
            _mark(effect, kube)
        case Delete():
            kube.delete(effect.kind, effect.name, effect.namespace or None, uid=effect.uid)
        case Tell():
            with contextlib.suppress(Conflict):  # told already
                kube.create(effect.event)
        case _:
            raise TypeError(f"{effect} is not for the API server")


def _mark(effect: Mark, kube: Kube) -> None:
    meta = effect.object["metadata"]
    wanted: Object = {"resourceVersion": meta["resourceVersion"], "finalizers": list(effect.finalizers)}
    if effect.annotations:
        wanted["annotations"] = dict(effect.annotations)
    try:
        kube.patch(Kind.of(effect.object), meta["name"], meta.get("namespace"), {"metadata": wanted})
    except KubeError as error:
        if error.status != 404:
            raise
        if not set(effect.finalizers) <= set(meta.get("finalizers") or ()):
            raise Conflict(409, "Conflict", f"{meta['name']} is gone: nothing more is done for it") from error
        # and gone is what a removed finalizer is for
