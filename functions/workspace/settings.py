"""What an installation decides, from the environment of the function's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kaito.api.claims import CLAIM_KINDS
from kaito.api.durations import seconds
from kaito.api.resources import MACHINE, Kind
from kaito.api.tracing import VARIABLE

SERVING_IMAGE = "kaito/serving:0.1.0"
NODE_RETENTION = "15m"


@dataclass(frozen=True, slots=True)
class Settings:
    """``claim_kind``: Machine or NodeClaim, or None where no provisioner is installed and people bring the nodes;
    ``serving_image``: the inference server's image, which holds no weights; ``node_retention``: seconds that the
    nodes of a model at zero are kept, where its Workspace does not say; ``image_volumes``: the cluster's kubelets
    mount images (Kubernetes 1.33 and later do, unless told not to); ``trust_bundle``: the ConfigMap of each namespace
    that says whom those trust that fetch images, if any; ``traces``: where model servers send their spans, a file://
    folder or an OTLP endpoint, if anywhere."""

    claim_kind: Kind | None = MACHINE
    serving_image: str = SERVING_IMAGE
    node_retention: float = seconds(NODE_RETENTION)
    image_volumes: bool = True
    trust_bundle: str = ""
    traces: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        kinds = {**{kind.kind: kind for kind in CLAIM_KINDS}, "None": None}
        name = environment.get("KAITO_CLAIM_KIND", MACHINE.kind)
        if name not in kinds:
            raise ValueError(f"KAITO_CLAIM_KIND is {name!r}; it must be one of {', '.join(kinds)}")
        try:
            retention = seconds(environment.get("KAITO_NODE_RETENTION_PERIOD", NODE_RETENTION))
        except ValueError as error:
            raise ValueError(f"KAITO_NODE_RETENTION_PERIOD: {error}") from error
        volumes = environment.get("KAITO_IMAGE_VOLUMES", "true")
        if volumes not in ("true", "false"):
            raise ValueError(f"KAITO_IMAGE_VOLUMES is {volumes!r}; it must be true or false")
        image = environment.get("KAITO_SERVING_IMAGE", SERVING_IMAGE)
        trust = environment.get("KAITO_TRUST_BUNDLE", "")
        traces = environment.get(VARIABLE, "")
        if traces and not traces.startswith(("file:///", "http://", "https://")):
            raise ValueError(
                f"{VARIABLE} is {traces!r}; it must be an OTLP endpoint, http://HOST:4318/v1/traces, file:///DIRECTORY"
                " or empty"
            )
        return cls(kinds[name], image, retention, image_volumes=volumes == "true", trust_bundle=trust, traces=traces)
