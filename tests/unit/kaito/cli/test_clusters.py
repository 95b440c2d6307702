"""Which cluster is asked, and in which namespace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaito.cli.clusters import cluster
from kaito.embedded.lock import locked
from kaito.runtime.kube import KubeError


def kubeconfig(file: Path, name: str, namespace: str = "") -> Path:
    it = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": it}],
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}.invalid"}}],
        "users": [{"name": name, "user": {}}],
    }
    file.write_text(json.dumps(content))
    return file


def test_the_one_that_is_named_goes_before_the_platform(tmp_path: Path) -> None:
    kubeconfig(tmp_path / "kubeconfig", "here")
    other = kubeconfig(tmp_path / "other", "other", "ml")
    with locked(tmp_path / "lock", lambda held: pytest.fail(str(held))):
        found = cluster(other, tmp_path)
        mine = cluster(None, tmp_path)
    assert (found.kube.server, found.namespace) == ("http://other.invalid", "ml")
    assert (mine.kube.server, mine.namespace) == ("http://here.invalid", "default")


def test_no_platform_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig(tmp_path / "kubeconfig", "here")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(KubeError, match="names no cluster to ask"):
        cluster(None, tmp_path)
    usual = kubeconfig(tmp_path / "usual", "usual", "mine")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(usual))
    found = cluster(None, tmp_path)
    assert (found.kube.server, found.namespace) == ("http://usual.invalid", "mine")
