"""Which cluster a command asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaito.embedded.lock import holder
from kaito.runtime.kube import Kube


@dataclass(frozen=True, slots=True)
class Cluster:
    """``namespace``: where what is named without one is."""

    kube: Kube
    namespace: str


def cluster(kubeconfig: Path | None, directory: Path) -> Cluster:
    """That of the kubeconfig; without one the platform that runs in that directory, else whom kubectl asks. Raises
    KubeError."""
    chosen = kubeconfig or platform(directory)
    kube = Kube.from_kubeconfig(chosen)
    return Cluster(kube, _namespace(chosen))


def platform(directory: Path) -> Path | None:
    """The kubeconfig of the platform that runs there."""
    kubeconfig = directory / "kubeconfig"
    runs = directory.is_dir() and holder(directory / "lock") is not None
    return kubeconfig if runs and kubeconfig.exists() else None


def _namespace(kubeconfig: Path | None) -> str:
    """Of its current context."""
    from kubernetes import config

    _, current = config.list_kube_config_contexts(config_file=kubeconfig and str(kubeconfig))
    return str(current["context"].get("namespace") or "default")
