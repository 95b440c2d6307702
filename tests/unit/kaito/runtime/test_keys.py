"""From events to keys: the object itself, its owner, its labels; nothing else is trusted."""

from __future__ import annotations

import pytest

from functions.provisioner.app import keys as claims_of
from functions.workspace.app import keys as workspaces_of
from kaito.runtime.events import Event

LABELS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "team"}


def event(
    kind: str, api_version: str, name: str, namespace: str = "", body: bytes = b"{}", verb: str = "update"
) -> Event:
    attributes = {"apiversion": api_version, "kind": kind, "name": name, "namespace": namespace}
    attributes["type"] = f"dev.knative.apiserver.resource.{verb}"
    return Event({**attributes, "datacontenttype": "application/json"}, body)


def owned_by(kind: str, api_version: str, *, controller: bool = True) -> bytes:
    flag = "true" if controller else "false"
    return (
        f'{{"metadata": {{"namespace": "team", "ownerReferences": [{{"apiVersion": "{api_version}", "kind": "{kind}",'
        f' "name": "owner", "controller": {flag}}}]}}}}'
    ).encode()


LABELLED = b'{"metadata": {"labels": {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "team"}}}'


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (event("Workspace", "kaito.sh/v1alpha1", "phi", "team"), ["workspace/team/phi"]),
        (event("Workspace", "kaito.sh/v1beta1", "phi", "team"), ["workspace/team/phi"]),
        (event("Machine", "karpenter.sh/v1alpha5", "ws1", body=LABELLED), ["workspace/team/phi"]),
        (event("Service", "serving.knative.dev/v1", "x", "team", owned_by("Workspace", "kaito.sh/v1alpha1")),
         ["workspace/team/owner"]),
        (event("Service", "serving.knative.dev/v1", "x", "team", owned_by("Workspace", "else.sh/v1")), []),
        (event("Service", "v1", "x", "team", owned_by("Workspace", "kaito.sh/v1alpha1", controller=False)), []),
        (event("Service", "serving.knative.dev/v1", "x", "team", verb="delete"), ["workspace/team/x"]),
        (event("Service", "v1", "x", "team", verb="delete"), []),
        (event("Node", "v1", "n1"), []),
        (event("Node", "v1", "n1", body=b"[1]"), []),
    ],
)  # fmt: skip
def test_hints_at_workspaces(hint: Event, expected: list[str]) -> None:
    assert [str(key) for key in workspaces_of(hint)] == expected


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (event("Machine", "karpenter.sh/v1alpha5", "ws1"), ["machine/ws1"]),
        (event("NodeClaim", "karpenter.sh/v1", "ws1"), ["nodeclaim/ws1"]),
        (event("Node", "v1", "n", body=owned_by("Machine", "karpenter.sh/v1alpha5")), ["machine/team/owner"]),
        (event("Workspace", "kaito.sh/v1alpha1", "phi", "team"), []),
    ],
)
def test_hints_at_claims(hint: Event, expected: list[str]) -> None:
    assert [str(key) for key in claims_of(hint)] == expected
