"""KAITO: AI models on Kubernetes by event-driven controllers on Knative."""
