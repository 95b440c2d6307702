"""The commands, with their options and words. What they do is imported when they do it, so that a help, a completion
or a mistyped option costs nothing of it: outside of functions nothing but typer and kaito.cli.options is imported."""
