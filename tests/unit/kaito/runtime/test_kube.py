"""Whom the client asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaito.runtime.kube import Kube, KubeError


@pytest.mark.parametrize("text", [None, "", "apiVersion: v1\nkind: Config\n", "a: b: c\n"])
def test_a_kubeconfig_that_names_no_cluster_is_an_error_that_says_which(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(KubeError, match=f"{file} names no cluster to ask"):
        Kube.from_kubeconfig(file)
