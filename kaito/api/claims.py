"""One model of "a node, please" for both objects that say it: Machine v1alpha5 and NodeClaim v1.

Machine is what the reference used up to v0.4.1 and is the default here; NodeClaim is today's Karpenter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from kaito.api.conditions import conditions_of
from kaito.api.meta import ApiModel, Condition, ObjectMeta
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object

TERMINATION_FINALIZER = "karpenter.sh/termination"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
GPU = "nvidia.com/gpu"
CLAIM_KINDS = (MACHINE, NODE_CLAIM)
#: Group and kind of the node class of KAITO's own NodeClaims.
NODE_CLASS = ("kaito.sh", "KaitoNodeClass")
#: On every claim that the provisioner has taken on, with its name: also where it loses its labels since, what was done
#: for it has to be undone.
ANNOTATION_PROVISIONER = "kaito.sh/provisioner"
#: On every node of ours: the claim that has it.
LABEL_CLAIM = "kaito.sh/claim"


class Requirement(ApiModel):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class Taint(ApiModel):
    key: str
    effect: str
    value: str = ""


class ResourceRequirements(ApiModel):
    requests: dict[str, int | str] = Field({})


class MachineTemplateRef(ApiModel):
    name: str


class NodeClassRef(ApiModel):
    group: str
    kind: str
    name: str


class ClaimStatus(ApiModel):
    provider_id: str = Field("", alias="providerID")
    node_name: str = ""
    image_id: str = Field("", alias="imageID")
    capacity: dict[str, int | str] = Field({})
    allocatable: dict[str, int | str] = Field({})
    conditions: tuple[Condition, ...] = ()


class MachineSpec(ApiModel):
    requirements: tuple[Requirement, ...]
    resources: ResourceRequirements = ResourceRequirements()
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    machine_template_ref: MachineTemplateRef | None = None


class NodeClaimSpec(ApiModel):
    requirements: tuple[Requirement, ...]
    resources: ResourceRequirements = ResourceRequirements()
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    node_class_ref: NodeClassRef
    expire_after: str = Field("Never", description="Never: the node lives as long as its Workspace.")


class Machine(ApiModel):
    """A node to be provisioned, as karpenter.sh/v1alpha5 said it."""

    metadata: ObjectMeta
    spec: MachineSpec
    status: ClaimStatus = ClaimStatus()


class NodeClaim(ApiModel):
    """A node to be provisioned, as karpenter.sh/v1 says it."""

    metadata: ObjectMeta
    spec: NodeClaimSpec
    status: ClaimStatus = ClaimStatus()


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What both kinds ask for. ``labels`` go to the node; ``storage`` is a quantity such as "50Gi"."""

    name: str
    instance_type: str
    storage: str
    labels: dict[str, str] = field(default_factory=dict)
    gpu: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A Machine or NodeClaim as it is on the API server, read as one thing."""

    kind: Kind
    metadata: ObjectMeta
    spec: MachineSpec | NodeClaimSpec
    status: ClaimStatus
    conditions: dict[str, Condition]

    @classmethod
    def of(cls, obj: Object) -> Claim:
        kind = Kind.of(obj)
        model = Machine.model_validate(obj) if kind == MACHINE else NodeClaim.model_validate(obj)
        return cls(kind, model.metadata, model.spec, model.status, conditions_of(obj))

    @property
    def stages(self) -> tuple[str, str, str]:
        """The condition types on the way to Ready, in order."""
        prefix = "Machine" if self.kind == MACHINE else ""
        return (f"{prefix}Launched", f"{prefix}Registered", f"{prefix}Initialized")

    @property
    def node_class(self) -> NodeClassRef | None:
        """Which provisioner is to act on it; Machines do not say."""
        return self.spec.node_class_ref if isinstance(self.spec, NodeClaimSpec) else None

    @property
    def ready(self) -> bool:
        condition = self.conditions.get("Ready")
        return condition is not None and condition.status == "True"

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def obstacle(self) -> Condition | None:
        """The first stage that is not True: what the claim waits for, or why it failed."""
        found = (self.conditions.get(stage) for stage in self.stages)
        return next((c for c in found if c is not None and c.status != "True"), None)

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The instance types asked for, in order."""
        return self.required(INSTANCE_TYPE)

    def required(self, key: str) -> tuple[str, ...]:
        """The values asked for, in order; only operator In names what is wanted."""
        return tuple(
            value
            for requirement in self.spec.requirements
            if requirement.key == key and requirement.operator == "In"
            for value in requirement.values
        )


def render_claim(request: NodeRequest, kind: Kind) -> Object:
    """The Machine or NodeClaim for a request, such that any Karpenter-core provisioner can act on it."""
    machine = kind == MACHINE
    pool = {"karpenter.sh/provisioner-name": "default"} if machine else {"karpenter.sh/nodepool": "kaito"}
    machine_type = {"kaito.sh/machine-type": "gpu" if request.gpu else "cpu"}
    requirements = {
        INSTANCE_TYPE: request.instance_type,
        **pool,
        **(machine_type if machine else {}),
        **({"kubernetes.io/arch": "amd64"} if machine else {}),
        "kubernetes.io/os": "linux",
    }
    spec: Object = {
        "requirements": [{"key": k, "operator": "In", "values": [v]} for k, v in requirements.items()],
        # A "storage" request fits no node of Karpenter's; machines of v1alpha5 knew only that name.
        "resources": {"requests": {"storage" if machine else "ephemeral-storage": request.storage}},
    }
    if request.gpu:
        spec["taints"] = [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    if machine:
        spec["machineTemplateRef"] = {"name": "kaito"}
    else:
        spec["nodeClassRef"] = {"group": NODE_CLASS[0], "kind": NODE_CLASS[1], "name": "default"}
        spec["expireAfter"] = "Never"
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": request.name,
            "labels": {**request.labels, **pool, **machine_type, INSTANCE_TYPE: request.instance_type},
            "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        },
        "spec": spec,
    }
