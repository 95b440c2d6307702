"""``kaito plan`` and ``kaito why``: the functions' own decisions, shown and not carried out."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

import presets
from functions.workspace.observe import around, observe
from functions.workspace.observed import Observed
from functions.workspace.rehearsal import Explanation, Rehearsal, explain, rehearse
from functions.workspace.settings import Settings
from functions.workspace.work import CONFIG_FILE
from kaito.api.claims import Claim
from kaito.api.pods import PodSpec
from kaito.api.resources import CONFIG_MAP, JOB, KNATIVE_SERVICE, SERVICE, STATEFUL_SET, WORKSPACE, Kind, Object
from kaito.api.workspace import Workspace
from kaito.cli import tuning
from kaito.cli.watching import age
from kaito.embedded.error import EmbeddedError
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube, KubeError
from presets import Catalogue, Needs
from presets.manifest import NAME, NAMESPACE

_MANAGER: Final = "kaito-plan"


class NoWorkspace(EmbeddedError):
    """What was given is no Workspace, or there is none of that name."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One Workspace of a file: ``refusal`` in the API server's or the function's words, empty where it can be had."""

    name: str
    workspace: Workspace | None
    rehearsal: Rehearsal | None
    refusal: str

    def to_json(self, catalogue: Catalogue) -> dict[str, Any]:
        result: dict[str, Any] = {"workspace": self.name, "fits": not self.refusal, "refusal": self.refusal}
        if self.workspace is not None:
            model, sku = _model(self.workspace, catalogue), catalogue.sku(self.workspace.resource.instance_type)
            result |= {
                "count": self.workspace.resource.count,
                "instanceType": sku.model_dump() if sku else None,
                "model": {"name": model[0], **model[1].model_dump()} if model else None,
            }
        if self.rehearsal is not None and not self.refusal:
            made = (*self.rehearsal.claims, *self.rehearsal.carriers)
            result |= {
                "usesNodes": list(self.rehearsal.nodes),
                "images": list(_images(self.rehearsal.carriers)),
                "creates": list(made),
                "waits": self.rehearsal.waits,
            }
        return result


class Installation:
    """What decides besides the Workspace: that of a cluster, or ours where there is none."""

    def __init__(self, kube: Kube | None) -> None:
        self._kube = kube
        if kube is None:
            self.settings, self.catalogue = Settings.from_environment(os.environ), presets.installed(os.environ)
        else:
            self.settings, self.catalogue = _settings_of(kube), _catalogue_of(kube)

    def plan(self, text: str, now: datetime) -> Iterator[Planned]:
        """Each Workspace in a file of manifests; raises NoWorkspace where there is none."""
        given = list(_documents(text))
        found = [obj for obj in given if obj.get("kind") == WORKSPACE.kind]
        if not found:
            raise NoWorkspace("there is no Workspace (kind: Workspace) in what was given")
        configs = {
            str((obj.get("metadata") or {}).get("name")): obj for obj in given if obj.get("kind") == CONFIG_MAP.kind
        }
        for obj in found:
            yield self._plan(obj, configs, now)

    def why(self, namespace: str, name: str, now: datetime) -> Explanation:
        """What that Workspace waits for; raises NoWorkspace."""
        assert self._kube is not None
        key = Key(WORKSPACE, namespace, name)
        observed = observe(self._kube, self.catalogue, [key])[key]
        if observed.workspace is None:
            raise NoWorkspace(f"there is no Workspace {name} in the namespace {namespace}: kubectl get workspace -A")
        explanation = explain(observed, self.catalogue, self.settings, now)
        if "tuning" in observed.workspace and "deletionTimestamp" not in observed.workspace["metadata"]:
            return tuning.why(self._kube, observed.workspace, explanation, self.catalogue, now)
        return explanation

    def _plan(self, obj: Object, configs: Mapping[str, Object], now: datetime) -> Planned:
        meta = {"namespace": "default", **(obj.get("metadata") or {})}
        obj = {**obj, "metadata": meta if self._kube else {"uid": "", **meta}}
        name = f"{obj['metadata']['namespace']}/{obj['metadata'].get('name', '')}"
        try:
            if self._kube is not None:
                obj = self._kube.apply(obj, manager=_MANAGER, dry_run=True)
            workspace = Workspace.model_validate(obj)
        except KubeError as error:
            return Planned(name, None, None, str(error))
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors())
            return Planned(name, None, None, "; ".join(wrong))
        if self._kube is not None:
            observed = around(self._kube, self.catalogue, obj)
        else:
            observed = Observed(obj, config={"data": {CONFIG_FILE: "{}"}})  # who knows what is there
        if workspace.inference is not None and workspace.inference.config in configs:
            observed = replace(observed, config=configs[workspace.inference.config])
        rehearsal = rehearse(observed, self.catalogue, self.settings, now)
        if workspace.tuning is not None and rehearsal.refusal is None:
            tuned = tuning.plan(self._kube, obj, configs, self.catalogue, now)
            rehearsal = replace(rehearsal, carriers=tuned.made, refusal=tuned.refusal)
        refusal = rehearsal.refusal
        return Planned(name, workspace, rehearsal, f"{refusal.reason}: {refusal.message}" if refusal else "")


def plan_text(planned: Planned, catalogue: Catalogue) -> str:
    """A paragraph for a person."""
    lines = [f"workspace {planned.name}"]
    if planned.workspace is not None:
        resource, sku = planned.workspace.resource, catalogue.sku(planned.workspace.resource.instance_type)
        if model := _model(planned.workspace, catalogue):
            lines.append(_line("model", f"{model[0]} needs {amount(model[1].gpus, model[1].gpu_memory_gib)}"))
        if sku is not None:
            has = amount(resource.count * sku.gpus, sku.memory_gib and resource.count * sku.memory_gib)
            facts = filter(None, (f"{resource.count} x {sku.name}: {has}", sku.gpu_model))
            lines.append(_line("nodes", ", ".join(facts)))
    if planned.refusal or planned.rehearsal is None:
        return "\n".join((*lines, _line("fits", f"no: {planned.refusal}")))
    lines.append(_line("fits", "yes"))
    lines += (_line("uses", f"node {name}, which is there") for name in planned.rehearsal.nodes)
    lines += (_line("creates", claims) for claims in _claims(planned.rehearsal.claims))
    lines += (_line("creates", _carrier(obj)) for obj in planned.rehearsal.carriers)
    lines += (_line("", f"image {image}") for image in _images(planned.rehearsal.carriers))
    if planned.rehearsal.waits:
        lines.append(_line("waits", planned.rehearsal.waits))
    elif not planned.rehearsal.claims and not planned.rehearsal.carriers:
        lines.append(_line("creates", "nothing: all of it is there"))
    return "\n".join(lines)


def why_text(name: str, explanation: Explanation, now: datetime) -> str:
    """What it waits for, since when, and what to do, for a person."""
    obstacle = explanation.obstacle
    if obstacle is None:
        first = f"workspace {name} is ready"
    else:
        verb = {"False": "cannot go on", "Unknown": "waits"}.get(obstacle.status, "is being deleted")
        first = f"workspace {name} {verb}: {obstacle.message}"
    lines = [first, ""]
    for part in explanation.parts:
        since = age(part.last_transition_time, now)
        lines.append(f"  {part.status:<8}{part.type:<17}{since:<6}{part.reason}: {part.message}")
    if explanation.behind:
        lines += [
            "",
            "Its status does not say so yet: the function is about to write it, or hears nothing. See",
            "  kubectl get apiserversource,trigger,ksvc -n kaito-system",
        ]
    if explanation.look:
        lines += ["", "To see more:", *(f"  {command}" for command in explanation.look)]
    return "\n".join(lines)


def why_json(name: str, explanation: Explanation) -> dict[str, Any]:
    obstacle = explanation.obstacle
    return {
        "workspace": name,
        "ready": obstacle is None,
        "obstacle": obstacle and obstacle.model_dump(by_alias=True),
        "conditions": [part.model_dump(by_alias=True) for part in explanation.parts],
        "statusBehind": explanation.behind,
        "look": list(explanation.look),
    }


def to_json(values: Sequence[dict[str, Any]]) -> str:
    return json.dumps(list(values), indent=2)


def _documents(text: str) -> Iterator[Object]:
    try:
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader):
            if isinstance(document, dict):
                yield from document.get("items") or (document,)
    except yaml.YAMLError as error:
        raise NoWorkspace(f"what was given is not YAML: {error}") from error


def _settings_of(kube: Kube) -> Settings:
    """As the function there has them."""
    service = kube.get(KNATIVE_SERVICE, "kaito-workspace", NAMESPACE)
    if service is None:
        raise NoWorkspace("KAITO is not installed on this cluster: there is no Service kaito-workspace in kaito-system")
    (container,) = service["spec"]["template"]["spec"]["containers"]
    return Settings.from_environment({it["name"]: it.get("value", "") for it in container.get("env") or ()})


def _catalogue_of(kube: Kube) -> Catalogue:
    found = kube.get(CONFIG_MAP, NAME, NAMESPACE)
    if found is None:
        raise NoWorkspace(f"this cluster has no catalogue: there is no ConfigMap {NAME} in {NAMESPACE}")
    with tempfile.TemporaryDirectory(prefix="kaito-catalogue-") as folder:
        for name, text in found["data"].items():
            (Path(folder) / name).write_text(text)
        return presets.load(Path(folder))


def _model(workspace: Workspace, catalogue: Catalogue) -> tuple[str, Needs] | None:
    work = workspace.inference or workspace.tuning
    model = catalogue.model(work.preset.name) if work and work.preset else None
    needs = model and (model.tuning if workspace.tuning else model.inference)
    return (model.name, needs) if model and needs else None


def amount(gpus: int, memory: float | None) -> str:
    if gpus == 0:
        return "no GPU"
    return f"{gpus} GPU{'s' if gpus > 1 else ''}" + (f", {memory:g} GiB of GPU memory" if memory else "")


def _claims(claims: Sequence[Object]) -> Iterator[str]:
    """Without their names, which a Workspace that is only meant to be has not given yet."""
    alike = Counter(
        (claim["kind"], ", ".join(Claim.of(claim).instance_types), *Claim.of(claim).spec.resources.requests.values())
        for claim in claims
    )
    for (kind, types, disk), count in alike.items():
        yield f"{count} x {kind}: {types}, {disk} of disk"


def _carrier(obj: Object) -> str:
    title = f"{'Knative ' if Kind.of(obj) == KNATIVE_SERVICE else ''}{obj['kind']} {obj['metadata']['name']}"
    if Kind.of(obj) == SERVICE:
        kind = "headless" if obj["spec"].get("clusterIP") == "None" else obj["spec"]["type"]
        return f"{title}: {kind}, port {obj['spec']['ports'][0]['port']}"
    if Kind.of(obj) == CONFIG_MAP:
        return f"{title}: {', '.join(obj['data'])}, which may be changed"
    template = obj["spec"]["template"]
    gpus = max(PodSpec.model_validate({"containers": its}).gpus for its in _together(template["spec"]))
    if Kind.of(obj) == JOB:
        scale = " → ".join(it["name"] for its in _together(template["spec"]) for it in its)
    elif Kind.of(obj) == KNATIVE_SERVICE:
        scale = f"min-scale {template['metadata']['annotations'].get('autoscaling.knative.dev/min-scale')}"
    else:
        scale = f"{obj['spec']['replicas']} pods, together one model"
    return f"{title}: {scale}" + (f", {gpus} GPU" + (" each" if Kind.of(obj) == STATEFUL_SET else "") if gpus else "")


def _together(spec: Object) -> Iterator[list[Object]]:
    """The containers of a pod that run at the same time."""
    yield from ([container] for container in spec.get("initContainers") or ())
    yield spec["containers"]


def _images(carriers: Sequence[Object]) -> Iterator[str]:
    for obj in carriers:
        spec = obj.get("spec", {}).get("template", {}).get("spec", {})
        yield from (container["image"] for container in spec.get("containers") or ())
        yield from (volume["image"]["reference"] for volume in spec.get("volumes") or () if "image" in volume)


def _line(title: str, text: str) -> str:
    return f"  {title:<9}{text}"
