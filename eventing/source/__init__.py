"""ApiServerSources: Kubernetes changes as Knative's CloudEvents.

``ApiServerSource`` runs in the embedded platform's process and sends at once. ``python -m eventing.source`` runs one in
a pod, behind a spool on disk, in the place of Knative's adapter.
"""

from eventing.source.direct import ApiServerSource
from eventing.source.spec import user

__all__ = ["ApiServerSource", "user"]
