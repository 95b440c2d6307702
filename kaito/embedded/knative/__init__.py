"""Knative Services as local processes, and the front proxy that leads to them."""
