"""The provisioner function: from a Machine or NodeClaim to a node that has joined the cluster."""
