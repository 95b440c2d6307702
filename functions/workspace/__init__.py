"""The workspace function: from a Workspace to nodes, a Knative Service and a status that tells the truth."""
