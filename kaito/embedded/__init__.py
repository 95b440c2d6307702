"""The embedded platform: a real Kubernetes API, events, functions and models on one machine, as plain processes."""
