"""What to do about a Workspace: a pure function from what was observed to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches

from functions.workspace.nodes import Nodes, choose
from functions.workspace.observed import Observed
from functions.workspace.render import APPLIED_HASH, inference_service
from functions.workspace.settings import Settings
from functions.workspace.status import Refusal, conditions, deleting, impossible, url, write_refused
from kaito.api.claims import render_claim
from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.resources import MACHINE, Kind, Object
from kaito.api.workspace import ANNOTATION_BYPASS, FINALIZER, Workspace
from kaito.runtime.plan import Apply, Delete, Effect, Plan, finalizer, holds
from kaito.runtime.report import report
from presets import Catalogue, ModelPreset, Sku, shortfall

NAME = "kaito-workspace"
#: What cannot be had cannot be changed either.
ANEW = "Delete the Workspace and create it anew."


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """Finalizer, claims, Service, status: in this order, each step needing only what was observed."""
    obj = observed.workspace
    if obj is None:
        return Plan(tuple(_deletes(observed.claims)))
    workspace = Workspace.model_validate(obj)
    if workspace.metadata.deletion_timestamp:
        return _delete(obj, workspace, observed, now)
    needs = _needs(workspace, catalogue, observed.service)
    if isinstance(needs, Refusal):
        found = impossible(workspace, needs)
        return Plan(_status(obj, found, {"state": "Failed"}, now))
    model, sku = needs
    kind = settings.claim_kind
    nodes = choose(workspace, sku, model.disk, observed.claims, observed.nodes, provisioned=kind is not None)
    effects: list[Effect] = [*finalizer(obj, FINALIZER, present=True, why="its nodes must go with it")]
    if kind is not None:
        why = f"{workspace.resource.count} nodes wanted"
        effects += (Apply(render_claim(request, kind), why) for request in nodes.missing)
    wanted = inference_service(workspace, model, sku, settings.serving_image)
    service = observed.service if _current(wanted, observed.service) else None
    if service is None and len(nodes.ready) == workspace.resource.count:
        why = "it differs from what the Workspace says" if observed.service else "the nodes are ready"
        effects.append(Apply(wanted, why))
    found = conditions(workspace, (kind or MACHINE).kind, nodes, service)
    effects += _status(obj, found, _facts(nodes, service, found), now)
    return Plan(tuple(effects), settled=all(condition.status != "Unknown" for condition in found))


def refused(observed: Observed, message: str, now: datetime) -> Plan:
    """The API server refused a write of the plan for good: its words are for the Workspace's status."""
    obj = observed.workspace
    if obj is None:
        return Plan(settled=False)
    found = write_refused(Workspace.model_validate(obj), conditions_of(obj), message)
    return Plan(_status(obj, found, {"state": "Failed"}, now), settled=False)


def _needs(workspace: Workspace, catalogue: Catalogue, service: Object | None) -> tuple[ModelPreset, Sku] | Refusal:
    """The preset and instance type, or why the Workspace cannot be had."""
    if workspace.tuning is not None:
        return Refusal("TuningNotInstalled", "this release has no tuning function: use inference")
    if workspace.inference is None or workspace.inference.preset is None:
        return Refusal("TemplateNotSupported", "this release serves presets only: use inference.preset")
    if workspace.inference.adapters or workspace.inference.config:
        what = "adapters" if workspace.inference.adapters else "config"
        return Refusal("NotSupported", f"this release serves presets as they are: leave out inference.{what}")
    preset, instance_type = workspace.inference.preset, workspace.resource.instance_type
    model = catalogue.model(preset.name)
    if model is None:
        alike = get_close_matches(preset.name.lower(), catalogue.models, n=3)
        known = f"did you mean {' or '.join(alike)}?" if alike else f"it has {', '.join(catalogue.names)}"
        return Refusal("UnknownPreset", f"there is no preset {preset.name!r} in the catalogue: {known} {ANEW}")
    if model.access_mode == "private" and not (preset.access_mode == "private" and preset.preset_options.image):
        return Refusal(
            "ImageNeeded",
            f"{model.name} is private: set inference.preset.accessMode: private and presetOptions.image: YOUR-IMAGE",
        )
    if model.distributed or workspace.resource.count > 1:
        return Refusal(
            "DistributedNotSupported",
            f"{model.name} on {workspace.resource.count} nodes: this release serves from one. {ANEW}",
        )
    # Nodes that somebody brings are taken by what they offer.
    sku = catalogue.sku(instance_type) if instance_type else Sku(name="any", provider="any", gpus=model.inference.gpus)
    if sku is None:
        return Refusal(
            "UnknownInstanceType",
            f"resource.instanceType {instance_type!r} is not in the catalogue"
            " and starts with neither Standard_N nor Standard_D",
        )
    if service is not None and not _ours(service, workspace):
        return Refusal(
            "NameTaken",
            f"a Knative Service named {workspace.metadata.name} is there already and is not this Workspace's:"
            " delete it, or give the Workspace another name",
        )
    lacking = shortfall(model.name, model.inference, sku, workspace.resource.count)
    if lacking is None or ANNOTATION_BYPASS in workspace.metadata.annotations:
        return model, sku
    enough = catalogue.smallest(model.inference, sku.provider)
    return Refusal("InsufficientGPUs", f"{lacking}: {enough.name} would do. {ANEW}" if enough else f"{lacking}. {ANEW}")


def _current(wanted: Object, found: Object | None) -> bool:
    """Is the Service the one we want, with nothing of it changed by others?"""
    if found is None:
        return False
    annotations = found["metadata"].get("annotations") or {}
    same = annotations.get(APPLIED_HASH) == wanted["metadata"]["annotations"][APPLIED_HASH]
    return same and holds(wanted["spec"], found["spec"])


def _facts(nodes: Nodes, service: Object | None, found: Sequence[Condition]) -> Object:
    overall = next(condition for condition in found if condition.type == "WorkspaceReady")
    state = {"True": "Ready", "False": "Failed", "Unknown": "Pending"}[overall.status]
    facts: Object = {"state": state}
    if nodes.ready:
        facts["workerNodes"] = list(nodes.ready)
    if url(service):
        facts["url"] = url(service)
    return facts


def _status(obj: Object, found: Sequence[Condition], facts: Object, now: datetime) -> tuple[Effect, ...]:
    """The status write and the Events of its transitions; nothing where the status says it all already."""
    facts = {**facts, "observedGeneration": obj["metadata"].get("generation", 0)}
    # What the sums of the others would only repeat is not told again; that it is all ready is.
    told = [c for c in found if c.type != "WorkspaceSucceeded" and (c.type != "WorkspaceReady" or c.status == "True")]
    return report(obj, found, facts, told=told, function=NAME, now=now)


def _delete(obj: Object, workspace: Workspace, observed: Observed, now: datetime) -> Plan:
    """Delete what is ours, wait until it is gone, then let go."""
    if FINALIZER not in workspace.metadata.finalizers:
        return Plan()
    owned = [child for child in (observed.service, *observed.claims) if child is not None and _ours(child, workspace)]
    if not owned:
        return Plan(finalizer(obj, FINALIZER, present=False, why="everything of it is gone"))
    left = [f"{child['kind']} {child['metadata']['name']}" for child in owned]
    said = _status(obj, deleting(workspace, left), {"state": "Deleting"}, now)
    return Plan((*_deletes(owned), *said), settled=False)


def _deletes(children: Iterable[Object]) -> Iterator[Delete]:
    for child in children:
        meta = child["metadata"]
        if not meta.get("deletionTimestamp"):
            yield Delete(Kind.of(child), meta["name"], meta.get("namespace", ""), meta["uid"], "its Workspace goes")


def _ours(child: Object, workspace: Workspace) -> bool:
    """A Service of the same name that somebody else made is not ours to delete; claims carry our labels."""
    owners = child["metadata"].get("ownerReferences") or ()
    return child["kind"] != "Service" or any(owner.get("uid") == workspace.metadata.uid for owner in owners)
