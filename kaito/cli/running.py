"""``kaito up``: the platform, and what it looks like while it runs."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from kaito.api.resources import WORKSPACE
from kaito.cli.interrupts import sigterm_as_ctrl_c, undisturbed, until_ctrl_c
from kaito.cli.standing import NotAPlatform, may_be_platform, quoted, shown
from kaito.cli.watching import EventLog, screen
from kaito.embedded.arm.azure import Azure
from kaito.embedded.manifests import CONFIG
from kaito.embedded.platform import Platform
from kaito.runtime.kube import KubeError
from kaito.runtime.log import configure

_REFRESH_SECONDS: Final = 0.5


def up(directory: Path, *, on_azure: bool, faults: int | None) -> None:
    """Run it until Ctrl-C; raises NotAPlatform."""
    console, directory = Console(), directory.resolve()
    if directory.exists() and not may_be_platform(directory):
        raise NotAPlatform(f"{shown(directory)} holds something else: use an empty directory, or one of a platform")
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    sigterm_as_ctrl_c()
    with (directory / "logs" / "platform.log").open("a") as log_file:
        configure(log_file)
        events = EventLog()
        platform = Platform(directory, observer=events, azure=Azure(directory, faults) if on_azure else None)
        try:
            with console.status("starting the platform") as status:
                platform.start(lambda step: status.update(escape(step)))
            if console.is_terminal:
                _watch(console, platform, events)
            console.print(_hint(platform), highlight=False, markup=False, soft_wrap=True)
            until_ctrl_c()
        except KeyboardInterrupt:
            console.print("The platform stops; `kaito up` goes on where it was.")
        finally:
            with undisturbed(), console.status("stopping"):
                platform.stop()


def _hint(platform: Platform) -> str:
    """What to type next, in another terminal."""
    kubectl = f"kubectl --kubeconfig {quoted(platform.kubeconfig)}"
    return (
        "The platform is up. In another terminal:\n\n"
        f"  {kubectl} apply -f {quoted(CONFIG / 'examples' / 'smollm2.yaml')}\n"
        f"  {kubectl} get workspace\n"
        f"  curl {platform.route('default', 'workspace-smollm2')}/chat"
        ' -d \'{"prompt": "What is the capital of France?"}\'\n\n'
        "Ctrl-C or `kaito down` ends it; its state stays."
    )


def _watch(console: Console, platform: Platform, events: EventLog) -> None:
    """The live picture, until Ctrl-C."""
    routes = platform.route("NAMESPACE", "NAME")
    footer = f"Ctrl-C ends it   export KUBECONFIG={shlex.quote(str(platform.kubeconfig))}   routes: {routes}"
    never = threading.Event()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while not never.wait(_REFRESH_SECONDS):
            try:
                workspaces = platform.kube.list(WORKSPACE).items
            except KubeError as error:
                live.update(Text(f"the API server does not answer: {error}"), refresh=True)
            else:
                live.update(screen(console, workspaces, events, _hint(platform), footer), refresh=True)
