"""What every function is made of: events in, plans out, one Kubernetes client, one log."""
