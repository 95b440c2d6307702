"""The pods that Kubernetes' own Job controller makes, run as processes of this machine: what a kubelet would do."""
