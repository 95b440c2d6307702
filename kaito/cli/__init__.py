"""The ``kaito`` command."""

from kaito.cli.main import main

__all__ = ["main"]
