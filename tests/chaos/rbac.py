"""What the provisioner's service account may, by the manifests that are installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kaito.api.resources import Kind

CONFIG = Path(__file__).parents[2] / "config"
MANIFESTS = ("rbac/provisioner.yaml", "aks/nodes.yaml")


@cache
def may(verb: str, kind: Kind, subresource: str = "") -> bool:
    """Is there a rule for that?"""
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    return any(
        kind.group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"] for rule in _rules()
    )


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    documents = [document for name in MANIFESTS for document in yaml.safe_load_all((CONFIG / name).read_text())]
    return tuple(rule for document in documents if document["kind"] == "ClusterRole" for rule in document["rules"])
