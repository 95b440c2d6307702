"""What differs between one control plane and another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kaito.embedded import certificates


@dataclass(frozen=True, slots=True)
class Site:
    """Where a control plane serves, to whom, and what differs there.

    ``address``: what it listens on and is reached by. ``hosts``: all names and addresses in its certificate.
    ``apiserver`` and ``controllers``: flags of these two beside those that every site has.
    """

    address: str
    hosts: Sequence[str]
    identities: Mapping[str, certificates.Identity]
    apiserver: Mapping[str, object]
    controllers: Mapping[str, object]


#: No node-lifecycle controller: there are no kubelets to send heartbeats; nor the taint of new nodes that it alone
#: takes away. Of workloads' controllers only that of Jobs, whose pods are run here (kaito.embedded.jobs), and what
#: removes pods whose node is gone: others' pods would wait for a scheduler for ever. And what lets a deleted
#: PersistentVolumeClaim go, once no pod has it: the API server waits for that.
LOOPBACK: Final = Site(
    address="127.0.0.1",
    hosts=certificates.HOSTS,
    identities=certificates.IDENTITIES,
    apiserver={
        # The API server refuses loopback addresses in the endpoints of its own Service.
        "endpoint-reconciler-type": "none",
        "authorization-mode": "RBAC",
        "disable-admission-plugins": "TaintNodesByCondition",
    },
    controllers={
        "controllers": ",".join(
            (
                "clusterrole-aggregation-controller",
                "garbage-collector-controller",
                "job-controller",
                "namespace-controller",
                "persistentvolumeclaim-protection-controller",
                "pod-garbage-collector-controller",
                "root-ca-certificate-publisher-controller",
                "serviceaccount-controller",
                "serviceaccount-token-controller",
                "validatingadmissionpolicy-status-controller",
            )
        )
    },
)
