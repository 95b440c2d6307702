"""KAITO: AI models on Kubernetes by event-driven controllers on Knative."""

#: As pyproject.toml has it; in images there is the code, and no package's metadata.
__version__ = "0.1.0"
