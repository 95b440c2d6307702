"""Which Node a pod would get, in the words of the Kubernetes scheduler.

Processor and memory are not weighed: every process shares the one machine below. GPUs are, because they are what a
Workspace waits for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kaito.api.claims import GPU
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object
from kaito.embedded.knative.revision import gpus_of


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No Node fits; ``message`` says why, as a pod's PodScheduled condition would."""

    message: str


def needs_node(spec: Object) -> bool:
    """Does this pod spec ask anything of a Node? What does not (our functions) runs beside the control plane."""
    return bool(spec.get("nodeName") or spec.get("nodeSelector") or _required_terms(spec) is not None or gpus_of(spec))


def place(spec: Object, nodes: Sequence[Object], used_gpus: Mapping[str, int]) -> str | Unschedulable:
    """The name of the first Node (by name) that fits ``spec``; ``used_gpus`` are those taken, by Node name."""
    if not nodes:
        return Unschedulable("no nodes available to schedule pods")
    misfits: Counter[str] = Counter()
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        misfit = _misfit(spec, node, used_gpus)
        if misfit is None:
            return str(node["metadata"]["name"])
        misfits[misfit] += 1
    reasons = ", ".join(sorted(f"{count} {misfit}" for misfit, count in misfits.items()))
    return Unschedulable(f"0/{len(nodes)} nodes are available: {reasons}.")


def _misfit(spec: Object, node: Object, used_gpus: Mapping[str, int]) -> str | None:
    """The first filter a Node fails, in the order of the default scheduler's plugins; a pod bound before stays."""
    name = node["metadata"]["name"]
    if bound := spec.get("nodeName"):
        misfit = None if bound == name else "node(s) didn't match the requested node name"
    else:
        misfit = _unfit(spec, node)
    if misfit is None and gpus_of(spec) > gpus(node) - used_gpus.get(name, 0):
        return f"Insufficient {GPU}"
    return misfit


def _unfit(spec: Object, node: Object) -> str | None:
    """What keeps off whoever is not bound yet."""
    if (node.get("spec") or {}).get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in _taints(node):
        if not any(_tolerates(toleration, taint) for toleration in spec.get("tolerations") or ()):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
    if not _selected(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    return None


def _taints(node: Object) -> list[Object]:
    """The taints that keep pods away; a Node that is not Ready counts as tainted, as its controller would do soon."""
    taints = [
        taint
        for taint in (node.get("spec") or {}).get("taints") or ()
        if taint.get("effect") in ("NoSchedule", "NoExecute")
    ]
    if not is_ready(node) and not any(taint["key"].startswith("node.kubernetes.io/") for taint in taints):
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return taints


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(toleration["key"] == taint["key"]) and (exists or same_value)


def _selected(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = _required_terms(spec)
    return terms is None or any(_term_matches(term, node) for term in terms)


def _required_terms(spec: Object) -> list[Object] | None:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def _term_matches(term: Object, node: Object) -> bool:
    """All expressions of a term must hold; a term without any matches nothing."""
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    checks = [_holds(expression, labels) for expression in term.get("matchExpressions") or ()]
    checks += [_holds(expression, fields) for expression in term.get("matchFields") or ()]
    return bool(checks) and all(checks)


def _holds(expression: Object, values: Mapping[str, str]) -> bool:
    """An unknown operator holds nowhere, so that the pod stays pending instead of landing anywhere."""
    value, wanted = values.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdecimal() and int(value) > int(wanted[0])
        case "Lt":
            return value is not None and value.isdecimal() and int(value) < int(wanted[0])
    return False
