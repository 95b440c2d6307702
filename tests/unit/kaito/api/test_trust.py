"""Whom a pod's containers trust."""

from __future__ import annotations

from kaito.api.resources import Object
from kaito.api.trust import trusting

POD: Object = {
    "initContainers": [{"name": "pull"}],
    "containers": [{"name": "it", "env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "home"}]}],
    "volumes": [{"name": "home"}],
}


def test_a_pod_is_as_it_was_where_nothing_is_said() -> None:
    assert trusting(POD, "") is POD


def test_all_of_its_containers_read_the_bundle() -> None:
    made = trusting(POD, "trusted")
    assert made["volumes"] == [{"name": "home"}, {"name": "trust", "configMap": {"name": "trusted"}}]
    for container in (*made["initContainers"], *made["containers"]):
        variables = {it["name"]: it["value"] for it in container["env"]}
        bundle = "/etc/kaito/trust/ca-certificates.crt"
        assert variables["SSL_CERT_FILE"] == variables["REQUESTS_CA_BUNDLE"] == bundle
        mount = next(it for it in container["volumeMounts"] if it["name"] == "trust")
        assert bundle.startswith(mount["mountPath"])
    assert made["containers"][0]["env"][0] == {"name": "A", "value": "b"}
    assert made["containers"][0]["volumeMounts"][0] == {"name": "home"}


def test_what_is_given_is_left_as_it_is() -> None:
    trusting(POD, "trusted")
    assert "env" not in POD["initContainers"][0]
    assert POD["volumes"] == [{"name": "home"}]
