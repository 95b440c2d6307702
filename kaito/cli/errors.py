"""Errors that the user can do something about, in a sentence, and what to do next."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape

from eventing.recordings.recording import RecordingError
from kaito.embedded.error import EmbeddedError
from kaito.runtime.kube import KubeError
from presets import CatalogueError

#: By the status that the API server has answered with; 0 is for none.
_NEXT: Final = {
    0: "name a cluster that runs, by --kubeconfig or $KUBECONFIG, or start a platform here: kaito up",
    401: "the kubeconfig's credentials are not taken: log in to the cluster anew",
    403: "ask whoever runs the cluster for the right, or see what you may: kubectl auth can-i --list",
}


def is_explained(error: Exception) -> bool:
    return isinstance(error, (EmbeddedError, KubeError, CatalogueError, RecordingError))


def explain(error: Exception) -> None:
    console = Console(stderr=True)
    console.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    if isinstance(error, KubeError) and error.status in _NEXT:
        console.print(f"  {_NEXT[error.status]}", highlight=False, markup=False, soft_wrap=True)
