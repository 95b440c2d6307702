"""Knative Services as local processes, and the front proxy that leads to them."""

from kaito.embedded.knative.proxy import FrontProxy
from kaito.embedded.knative.runner import Runner

__all__ = ["FrontProxy", "Runner"]
