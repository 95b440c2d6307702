"""Traces of Workspaces: spans made of a recording of the functions, and those of model servers beside them."""
