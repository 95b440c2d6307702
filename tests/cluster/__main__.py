"""``python -m tests.cluster up|down``: the cluster by hand, for `make cluster` and `make cluster-down`."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from kaito.embedded.error import EmbeddedError
from tests.cluster.cluster import Cluster
from tests.cluster.machine import lacks

_NEXT = """
The cluster is ready in {seconds:.0f} s: Kubernetes, Knative, and this project's images.
Install KAITO, and ask for a model:

  export KUBECONFIG={kubeconfig}
  kubectl apply --server-side --field-manager=kaito -k config/overlays/local
  kubectl apply -f config/examples/smollm2.yaml
  kubectl get workspace -w
  curl -H 'Host: workspace-smollm2.default.kaito.test' http://{address}/chat \\
    -d '{{"prompt": "What is the capital of France?"}}'

End it with `make cluster-down`."""


def main() -> int:
    """Start or end this user's cluster; 1 and a line on stderr where that cannot be."""
    parser = argparse.ArgumentParser(prog="tests.cluster", description="A real one-node cluster with real Knative.")
    parser.add_argument("command", choices=("up", "down"))
    command = parser.parse_args().command
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    if missing := lacks():
        console.print(missing, style="red")
        return 1
    began, cluster = time.monotonic(), Cluster()
    try:
        with console.status("looking") as status:
            if command == "down":
                cluster.down(status.update)
            else:
                cluster.up(status.update)
    except EmbeddedError as error:
        console.print(f"cluster: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; `make cluster-down` removes what there is", style="red")
        return 130
    if command == "up":
        seconds = time.monotonic() - began
        print(_NEXT.format(seconds=seconds, kubeconfig=cluster.kubeconfig, address=cluster.address))
    else:
        print("The cluster is gone; its images are kept for the next time.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
