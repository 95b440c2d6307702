"""The Kubernetes API types of the project."""
