"""The Workspace: what a user writes, and the rules the API server holds it to without any process of ours awake.

Source of the fields: the reference operator's kaito.sh API (v1alpha1 and v1beta1 are identical).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kaito.api.meta import (
    LABEL_KEY,
    ApiModel,
    Condition,
    ConditionStatus,
    FreeForm,
    LabelSelector,
    LabelValue,
    ObjectMeta,
)

FINALIZER = "workspace.finalizer.kaito.sh"
LABEL_WORKSPACE = "kaito.sh/workspace"
LABEL_NAMESPACE = "kaito.sh/workspacenamespace"
ANNOTATION_SCALE_TO_ZERO = "kaito.sh/scale-to-zero"
#: For how long a model at zero keeps its nodes, as a duration like 30s, 15m or 1h.
ANNOTATION_NODE_RETENTION = "kaito.sh/scale-to-zero-node-retention-period"
#: "True": a Service of type LoadBalancer too.
ANNOTATION_LOAD_BALANCER = "kaito.sh/enablelb"
#: Present, whatever its value: the author knows better what fits.
ANNOTATION_BYPASS = "kaito.sh/bypass-resource-checks"
#: Which of its ControllerRevisions a Workspace is, and the hash of what that holds.
ANNOTATION_REVISION = "workspace.kaito.io/revision"
ANNOTATION_HASH = "workspace.kaito.io/hash"

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_PRESET_NAME = "^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$"


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules with the CEL expression of their message: what was given and what is allowed."""
    return {"x-kubernetes-validations": [{"rule": rule, "messageExpression": text} for rule, text in rules]}


_ANEW = "delete the Workspace and create it anew"


def _immutable(field: str, name: str, *, shown: bool = True) -> tuple[str, str]:
    """``shown``: a text that says what it was and was to be; of numbers and labels CEL's limits allow that not."""
    change = f" from ' + oldSelf.{field} + ' to ' + self.{field} + '" if shown else ""
    return f"self.{field} == oldSelf.{field}", f"'{name} cannot be changed{change}: {_ANEW}'"


def _fixed_preset(rule: str, name: str) -> tuple[str, str]:
    old = "oldSelf.preset.name + ', ' + oldSelf.preset.accessMode"
    return rule, f"'{name} (' + {old} + ') cannot be changed: {_ANEW}'"


#: Of these a node has its own, whatever a Workspace asks for.
OWN_LABELS = (
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
)


_SELECTOR = "self.labelSelector"
_IS_OWN = f"(k.startsWith('kaito.sh/') || k.startsWith('karpenter.sh/') || k in {list(OWN_LABELS)})"
_OWN_LABEL = (
    "'resource.labelSelector: nodes have kaito.sh/*, karpenter.sh/*, hostname, arch, os and instance-type labels of"
    " their own: use resource.instanceType, resource.preferredNodes or a label of yours'"
)


class ResourceSpec(ApiModel):
    """The GPU nodes a Workspace runs on."""

    count: int = Field(1, ge=1, description="How many nodes.")
    instance_type: LabelValue = Field(
        "Standard_NC24ads_A100_v4",
        description="The cloud's name of the node size, e.g. Standard_NC24ads_A100_v4.",
    )
    label_selector: LabelSelector = Field(description="Labels the nodes get and must have.")
    preferred_nodes: tuple[str, ...] = Field((), description="Nodes to take first, by name.")

    model_config = ConfigDict(
        json_schema_extra=_rules(
            _immutable("count", "resource.count", shown=False),
            _immutable("instanceType", "resource.instanceType"),
            _immutable("labelSelector", "resource.labelSelector", shown=False),
            (
                f"!has({_SELECTOR}.matchLabels) || {_SELECTOR}.matchLabels.all(k, k.matches('{LABEL_KEY}'))",
                "'resource.labelSelector: a label key is [DNS-NAME/]NAME of letters, digits, - _ and .'",
            ),
            (f"!has({_SELECTOR}.matchLabels) || {_SELECTOR}.matchLabels.all(k, !{_IS_OWN})", _OWN_LABEL),
            (
                f"!has({_SELECTOR}.matchExpressions) || {_SELECTOR}.matchExpressions.map(e, e.key).all(k, !{_IS_OWN})",
                _OWN_LABEL,
            ),
            (
                "!has(self.labelSelector.matchExpressions) || self.labelSelector.matchExpressions.all("
                "e, e.operator == 'In' && has(e.values) && size(e.values) == 1)",
                "'resource.labelSelector: only matchLabels, or matchExpressions with operator In and one value'",
            ),
        )
    )


def _is_image(field: str) -> tuple[str, str]:
    """https://github.com/distribution/reference, with short names."""
    return (
        f"!has(self.{field}) || self.{field} == '' || self.{field}.matches('{_IMAGE}')",
        f"'{field}: \"' + self.{field} + '\" is no image reference: [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]'",
    )


_PART = r"[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$"
)
_Image = Annotated[str, Field(max_length=1024)]
_Secrets = Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=16)]


class PresetOptions(ApiModel):
    image: _Image = Field("", description="An image of your own that holds the model's weights.")
    image_pull_secrets: _Secrets = ()

    model_config = ConfigDict(json_schema_extra=_rules(_is_image("image")))


class PresetSpec(ApiModel):
    """A model of the catalogue."""

    name: str = Field(
        max_length=253, pattern=_PRESET_NAME, description="The preset's name, e.g. phi-3-mini-4k-instruct."
    )
    access_mode: Literal["public", "private"] = "public"
    preset_options: PresetOptions = PresetOptions()

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "self.accessMode != 'private' || (has(self.presetOptions) && has(self.presetOptions.image)"
                " && size(self.presetOptions.image) > 0)",
                "'preset.accessMode private needs preset.presetOptions.image: the image that holds the weights of '"
                " + self.name",
            ),
        )
    )


class DataSource(ApiModel):
    """Where data comes from: exactly one of urls, volumeSource, image."""

    name: str = Field("", max_length=253)
    urls: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=32)] = ()
    volume_source: FreeForm | None = None
    image: _Image = ""
    image_pull_secrets: _Secrets = ()

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "[has(self.urls) && size(self.urls) > 0, has(self.volumeSource),"
                " has(self.image) && size(self.image) > 0].filter(x, x).size() == 1",
                "'give exactly one of urls, volumeSource or image'",
            ),
            _is_image("image"),
        )
    )


class DataDestination(ApiModel):
    """Where a result goes: exactly one of volumeSource, image."""

    volume_source: FreeForm | None = None
    image: _Image = ""
    image_push_secret: str = Field("", max_length=253)

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.volumeSource) != (has(self.image) && size(self.image) > 0)",
                "'give exactly one of volumeSource or image'",
            ),
            (
                "!has(self.image) || self.image == '' || (has(self.imagePushSecret) && self.imagePushSecret != '')",
                "'image ' + self.image + ' needs imagePushSecret: a Secret of type kubernetes.io/dockerconfigjson'",
            ),
            _is_image("image"),
        )
    )


class AdapterSpec(ApiModel):
    """A fine-tuned adapter, in an image, that is mixed into the preset's model."""

    source: DataSource
    strength: str = Field("1.0", max_length=32, description="How much of the adapter is mixed in, from 0.0 to 1.0.")

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.source.image) && size(self.source.image) > 0",
                "'source.image: an adapter comes in an image'",
            ),
            (
                f"has(self.source.name) && self.source.name.matches('{_DNS_SUBDOMAIN}')",
                "'source.name: every adapter needs a name of lower-case letters, digits, - and ., not \"'"
                " + (has(self.source.name) ? self.source.name : '') + '\"'",
            ),
            (
                r"self.strength.matches('^(0?\\.[0-9]+|0(\\.[0-9]*)?|1(\\.0*)?)$')",
                "'strength: from 0.0 to 1.0, not \"' + self.strength + '\"'",
            ),
        )
    )


class InferenceSpec(ApiModel):
    """Serve a model: a preset of the catalogue or a pod template."""

    preset: PresetSpec | None = None
    template: FreeForm | None = Field(None, description="A PodTemplateSpec of your own instead of a preset.")
    config: str = Field("", max_length=253, description="A ConfigMap with the server's settings.")
    adapters: Annotated[tuple[AdapterSpec, ...], Field(max_length=10)] = ()

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.preset) != has(self.template)",
                "has(self.preset) ? 'inference: give preset or template, not both'"
                " : 'inference: give a preset (inference.preset.name) or a pod template (inference.template)'",
            ),
            (
                "!has(self.adapters) || self.adapters.all(a, self.adapters.exists_one(b,"
                " (has(a.source.name) ? a.source.name : '') == (has(b.source.name) ? b.source.name : '')))",
                "'inference.adapters: two have the same source.name: each needs one of its own'",
            ),
            (
                "!has(self.template) || !(has(self.adapters) && size(self.adapters) > 0 || has(self.config))",
                "'inference: adapters and config are for presets: a pod template brings its own server'",
            ),
            _fixed_preset(
                "!has(oldSelf.preset) || (has(self.preset) && self.preset == oldSelf.preset)", "inference.preset"
            ),
            (
                "has(oldSelf.template) == has(self.template)",
                f"'inference.template cannot be added or taken away: {_ANEW}'",
            ),
        )
    )


class TuningSpec(ApiModel):
    """Fine-tune a model and push the adapter."""

    preset: PresetSpec
    method: str = Field("qlora", pattern="^([lL][oO][rR][aA]|[qQ][lL][oO][rR][aA])$", description="lora or qlora.")
    config: str = Field(
        "", max_length=253, description="A ConfigMap with a training_config.yaml; the method's by default."
    )
    input: DataSource
    output: DataDestination

    model_config = ConfigDict(
        json_schema_extra=_rules(
            _fixed_preset("self.preset == oldSelf.preset", "tuning.preset"),
            _immutable("method", "tuning.method"),
            (
                "(has(self.input.name) ? self.input.name : '') == (has(oldSelf.input.name) ? oldSelf.input.name : '')",
                "'tuning.input.name cannot be changed from \"' + (has(oldSelf.input.name) ? oldSelf.input.name : '')"
                f" + '\": {_ANEW}'",
            ),
        )
    )


class StartupStage(ApiModel):
    name: str
    duration: str = Field(description="As 4.5s.")


class Startup(ApiModel):
    """How a model's server started, as it says itself."""

    revision: str = Field("", description="The Knative Revision, or the revision of the StatefulSet, that was asked.")
    stages: tuple[StartupStage, ...] = ()


class TuningStatus(ApiModel):
    """How far a tuning has come, and what it made."""

    asked: str = Field("", description="Names the tuning and the config that this is about.")
    stage: str = Field("", description="check, fetch, train or push: the container of the Job's pod that runs.")
    step: int = Field(0, description="Optimizer steps that are done.")
    steps: int = Field(0, description="Those there will be.")
    loss: str = Field("", description="The latest that was logged.")
    eval_loss: str = Field("", description="Of the data that were held back, where some were.")
    remaining: str = Field("", description="At this pace, as 12m30s.")
    image: str = Field("", description="The adapter's image.")
    digest: str = Field("", description="Of the image that was pushed.")


class WorkspaceStatus(ApiModel):
    worker_nodes: tuple[str, ...] = Field((), description="The nodes in use, sorted.")
    conditions: tuple[Condition, ...] = ()
    state: Literal["", "Pending", "Ready", "Running", "Succeeded", "Failed", "Deleting"] = ""
    url: str = Field("", description="Where the model answers.")
    observed_generation: int = 0
    startup: Startup | None = Field(None, description="How long each stage of the model server's start took.")
    tuning: TuningStatus | None = Field(None, description="How far a tuning has come.")


class Workspace(ApiModel):
    """GPU nodes and the one thing that runs on them: a served model or a tuning job."""

    metadata: ObjectMeta
    resource: ResourceSpec
    inference: InferenceSpec | None = None
    tuning: TuningSpec | None = None
    status: WorkspaceStatus = WorkspaceStatus()


def condition(workspace: Workspace, kind: str, status: ConditionStatus, reason: str, message: str) -> Condition:
    """Of what the Workspace asks for now."""
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=workspace.metadata.generation,
    )


#: Rules about the whole object; metadata.name is the only metadata CEL may read.
WORKSPACE_RULES = _rules(
    (
        "has(self.inference) != has(self.tuning)",
        "has(self.inference) ? 'give inference or tuning, not both: one Workspace does one thing'"
        " : 'give inference (to serve a model) or tuning (to fine-tune one)'",
    ),
    (
        "!has(self.tuning) || self.resource.count == 1",
        "'resource.count: tuning runs on one node: set it to 1'",
    ),
    (
        "has(oldSelf.inference) == has(self.inference) && has(oldSelf.tuning) == has(self.tuning)",
        f"'inference and tuning cannot be added or taken away: {_ANEW}'",
    ),
    (
        f"self.metadata.name.matches('{DNS_LABEL}') && size(self.metadata.name) <= 63",
        "'metadata.name must be a DNS label, which becomes the host name of the model: lower-case letters,"
        " digits and -, at most 63; got ' + self.metadata.name",
    ),
)["x-kubernetes-validations"]
