"""The tuning function: Workspaces that tune, and the Job of each."""
