"""The console on a cluster: what it may, who reaches it, and that its settings are those it has without a word."""

from __future__ import annotations

import yaml

from console.settings import Settings
from kaito.api.resources import Object
from kaito.embedded.knative.admission import refusals
from kaito.embedded.knative.schema import malformed
from kaito.embedded.manifests import CONFIG


def manifests(name: str) -> list[Object]:
    return list(yaml.safe_load_all((CONFIG / "console" / name).read_text()))


def test_it_is_no_part_of_the_default_and_only_reached_from_within() -> None:
    assert "console" not in (CONFIG / "default" / "kustomization.yaml").read_text()
    (service,) = manifests("service.yaml")
    assert service["metadata"]["labels"] == {"networking.knative.dev/visibility": "cluster-local"}
    assert malformed(service) + refusals(service, frozenset()) == []
    template = service["spec"]["template"]
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"] == "1"
    (container,) = template["spec"]["containers"]
    context = container["securityContext"]
    assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
    assert (context["capabilities"], context["allowPrivilegeEscalation"]) == ({"drop": ["ALL"]}, False)
    environment = {it["name"]: it["value"] for it in container["env"]}
    assert Settings.from_environment(environment) == Settings.from_environment({})


def test_it_may_look_at_workspaces_and_at_nothing_else() -> None:
    account, role, binding = manifests("rbac.yaml")
    assert role["rules"] == [{"apiGroups": ["kaito.sh"], "resources": ["workspaces"], "verbs": ["list", "watch"]}]
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account["metadata"]}]
    (service,) = manifests("service.yaml")
    assert service["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]
