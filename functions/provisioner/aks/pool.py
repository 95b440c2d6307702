"""An AKS agent pool: as it is asked for, and as it is. Pure.

Its tags name the Kubernetes cluster and the claim that it is for, by uid, and which attempt it is. So whoever looks
knows whose it is and what was tried: state that a crash between two writes cannot tear from the pool that it is about.
A pool without such tags is somebody else's, and so is one of another cluster's KAITO: these are never touched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from functions.provisioner.aks.failure import AzureError
from kaito.api.claims import CLAIM_KINDS, LABEL_CLAIM, Claim
from kaito.api.conditions import parse_time, rfc3339
from kaito.api.resources import Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import quantity

#: Of AKS: lower case letters and digits, a letter first.
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
#: A tag's name may not have a slash.
TAG_CLUSTER: Final = "kaito.sh_cluster"
TAG_CLAIM, TAG_KIND, TAG_UID = "kaito.sh_claim", "kaito.sh_claim-kind", "kaito.sh_claim-uid"
TAG_ATTEMPT, TAG_CREATED = "kaito.sh_attempt", "kaito.sh_created"
#: Of a claim.
ANNOTATION_IMAGE_FAMILY: Final = "kaito.sh/node-image-family"
#: Of a node: the name of its pool, set by AKS.
LABEL_POOL: Final = "kubernetes.azure.com/agentpool"
#: Characters of a label's value, at most.
_VALUE: Final = 63
CAPACITY_TYPE, ZONE = "karpenter.sh/capacity-type", "topology.kubernetes.io/zone"
#: Labels that kubelet and AKS set, and take from nobody.
_THEIRS: Final = re.compile(r"([^/]*\.)?(kubernetes\.io|k8s\.io|kubernetes\.azure\.com)/")
_GIB: Final = 2**30


def pool_name(key: Key) -> str:
    """The pool of a claim: of its name, or of a hash where AKS would not take that."""
    if _NAME.fullmatch(key.name):
        return key.name
    return "k" + hashlib.sha256(f"{key.kind.kind}/{key.name}".encode()).hexdigest()[:11]


@dataclass(frozen=True, slots=True)
class Pool:
    """``state``: its provisioningState; ``etag``: of this very state of it; ``error``: why it failed, where it did;
    ``image``: what its machine has on its disk; ``tags``: none where it is not of this cluster's KAITO."""

    name: str
    state: str
    vm_size: str = ""
    image: str = ""
    etag: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    error: AzureError | None = None

    @classmethod
    def of(cls, obj: Object, cluster: str) -> Pool:
        """From the JSON of Azure's API, as that Kubernetes cluster sees it."""
        properties = obj.get("properties") or {}
        tags = properties.get("tags") or {}
        error = (properties.get("status") or {}).get("provisioningError")
        return cls(
            name=obj["name"],
            state=properties.get("provisioningState") or "",
            vm_size=properties.get("vmSize") or "",
            image=properties.get("nodeImageVersion") or "",
            etag=properties.get("eTag") or "",
            tags=tags if tags.get(TAG_CLUSTER) == cluster else {},
            error=AzureError(200, error.get("code") or "", error.get("message") or "") if error else None,
        )

    @property
    def failed(self) -> bool:
        """Is what was asked for last over, and not done?"""
        return self.state in ("Failed", "Canceled")

    @property
    def attempt(self) -> int:
        """The how manieth it is for its claim, from 0."""
        found = self.tags.get(TAG_ATTEMPT, "")
        return int(found) if found.isdecimal() else 0

    @property
    def created(self) -> datetime | None:
        """When it was asked for."""
        try:
            return parse_time(self.tags[TAG_CREATED])
        except (KeyError, ValueError):
            return None

    @property
    def claim(self) -> Key | None:
        """The claim that it was made for; None where it is not ours."""
        kind = next((kind for kind in CLAIM_KINDS if kind.kind == self.tags.get(TAG_KIND)), None)
        name = self.tags.get(TAG_CLAIM)
        return Key(kind, "", name) if kind and name and TAG_UID in self.tags else None

    def is_of(self, claim: Claim) -> bool:
        """Was it made for this very claim, and not for an earlier one of its name?"""
        return self.claim is not None and self.tags[TAG_UID] == claim.metadata.uid


def render(claim: Claim, cluster: str, vm_size: str, attempt: int, now: datetime) -> Object:
    """The body of the request that creates the pool of a claim of that Kubernetes cluster. Raises ValueError for a disk
    that is no size."""
    properties: Object = {
        "type": "VirtualMachineScaleSets",
        "mode": "User",
        "count": 1,
        "vmSize": vm_size,
        "osType": "Linux",
        "osSKU": _os_sku(claim),
        "nodeLabels": node_labels(claim, vm_size),
        "nodeTaints": [f"{taint.key}={taint.value}:{taint.effect}" for taint in claim.spec.taints],
        "tags": {
            TAG_CLUSTER: cluster,
            TAG_CLAIM: claim.metadata.name,
            TAG_UID: claim.metadata.uid,
            TAG_KIND: claim.kind.kind,
            TAG_ATTEMPT: str(attempt),
            TAG_CREATED: rfc3339(now),
        },
    }
    if disk := disk_gb(claim):
        properties["osDiskSizeGB"] = disk
    if zones := claim.required(ZONE):
        properties["availabilityZones"] = [zone.rpartition("-")[2] for zone in zones]
    if "spot" in claim.required(CAPACITY_TYPE):
        properties |= {"scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1}
    return {"properties": properties}


def node_labels(claim: Claim, vm_size: str) -> dict[str, str]:
    """The labels that its node registers with: all but those that are kubelet's and AKS' own to set."""
    created = parse_time(claim.metadata.creation_timestamp) if claim.metadata.creation_timestamp else None
    wanted = {
        **claim.metadata.labels,
        **claim_label(claim),
        "kaito.sh/machine-type": "gpu" if "Standard_N" in vm_size else "cpu",
        # As the reference has it: of a label's value, which takes no colons.
        **({"kaito.sh/creation-timestamp": created.strftime("%Y-%m-%dT%H-%M-%SZ")} if created else {}),
    }
    return {key: value for key, value in wanted.items() if not _THEIRS.match(key)}


def claim_label(claim: Claim) -> dict[str, str]:
    """What has an event of its node concern the claim; a name may be too long for that."""
    name = claim.metadata.name
    return {LABEL_CLAIM: name} if len(name) <= _VALUE else {}


def disk_gb(claim: Claim) -> int:
    """GB of its node's disk; 0 for Azure's default.

    Machines of v1alpha5 said "400" for 400 GB and "50Gi" alike: what is less than a GiB is a number of GB.
    """
    requests = claim.spec.resources.requests
    asked = next((requests[name] for name in ("ephemeral-storage", "storage") if name in requests), 0)
    size = quantity(asked)
    if isinstance(size, str) or size < 0:
        raise ValueError(f"the disk asked for, {asked!r}, is no size such as 50Gi")
    return int(size) if size < _GIB else -(-int(size) // _GIB)


def _os_sku(claim: Claim) -> str:
    family = claim.metadata.annotations.get(ANNOTATION_IMAGE_FAMILY, "")
    return "AzureLinux" if family.lower() == "azurelinux" else "Ubuntu"
