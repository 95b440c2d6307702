"""The ``kaito`` command."""

from kaito.cli.main import complete_for_kubectl, main

__all__ = ["complete_for_kubectl", "main"]
