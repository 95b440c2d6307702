"""The manifest of an ApiServerSource, and what of it is honoured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from eventing.manifest import ManifestError, Spec, label, read

Mode = Literal["Reference", "Resource"]


class LabelSelector(Spec):
    match_labels: dict[str, str] = Field(default_factory=dict)


class Everything(Spec):
    """The empty selector, the only one of namespaces that is honoured."""


class WatchedResource(Spec):
    api_version: str
    kind: str
    selector: LabelSelector = LabelSelector()


class ApiServerSourceSpec(Spec):
    """``serviceAccountName`` is for the caller, who makes the client (see ``user``); the rest is honoured here."""

    mode: Mode = "Reference"
    resources: list[WatchedResource] = Field(min_length=1)
    namespace_selector: Everything | None = None
    service_account_name: str = Field(default="default", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    sink: dict[str, Any] = Field(min_length=1)

    def scope(self, namespace: str) -> str | None:
        """The namespace that a source in ``namespace`` watches; None for all."""
        return namespace if self.namespace_selector is None else None


def spec_of(manifest: Mapping[str, Any]) -> ApiServerSourceSpec:
    """Raises ManifestError for what cannot be honoured."""
    field = f"{label(manifest)}: spec"
    if "spec" not in manifest:
        raise ManifestError(field, "is missing")
    return read(ApiServerSourceSpec, manifest["spec"], field)


def namespace_of(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", "default"))


def user(manifest: Mapping[str, Any]) -> str:
    """Whose rights an ApiServerSource has: its service account's. Raises ManifestError."""
    return f"system:serviceaccount:{namespace_of(manifest)}:{spec_of(manifest).service_account_name}"
