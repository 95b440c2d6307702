"""``kaito``: the commands and what they say when they cannot do what they are asked."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from kaito.api.resources import WORKSPACE
from kaito.cli import demonstration
from kaito.cli.watching import EventLog, screen, workspaces_table
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import holder
from kaito.embedded.platform import Platform
from kaito.embedded.process import ProcessTable, end_process
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.log import configure

DEFAULT_DIRECTORY: Final = Path(".kaito")
REFRESH_SECONDS: Final = 0.5
DOWN_SECONDS: Final = 30.0

app = typer.Typer(
    help="Run AI models on Kubernetes: one Workspace, event-driven controllers on Knative.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

Directory = Annotated[Path, typer.Option("--dir", help="Where the platform keeps its state, logs and kubeconfig.")]


@app.command()
def up(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Run the embedded platform until Ctrl-C, showing Workspaces and events."""
    directory = directory.resolve()
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: both stop it in order
    with (directory / "logs" / "platform.log").open("a") as log_file:
        configure(log_file)
        events = EventLog()
        platform = Platform(directory, observer=events)
        try:
            with console.status("starting the platform") as status:
                platform.start(lambda step: status.update(step))
            _greet(platform)
            if console.is_terminal:
                _watch(platform, events)
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("The platform stops; `kaito up` goes on where it was.")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            with console.status("stopping"):
                platform.stop()


def _greet(platform: Platform) -> None:
    kubectl = f"kubectl --kubeconfig {_shown(platform.kubeconfig)}"
    route = platform.route("default", "workspace-smollm2")
    console.print(
        "[bold green]The platform is up.[/] In another terminal:\n\n"
        f"  {kubectl} apply -f config/examples/smollm2.yaml\n"
        f"  {kubectl} get workspace\n"
        f'  curl {route}/chat -d \'{{"prompt": "What is the capital of France?"}}\'\n\n'
        "Ctrl-C or `kaito down` ends it; its state stays.",
        highlight=False,
        soft_wrap=True,
    )


def _watch(platform: Platform, events: EventLog) -> None:
    """The live picture, until Ctrl-C."""
    routes = platform.route("NAMESPACE", "NAME")
    footer = f"export KUBECONFIG={_shown(platform.kubeconfig)}   routes: {routes}   Ctrl-C ends it"
    never = threading.Event()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while not never.wait(REFRESH_SECONDS):
            try:
                workspaces = platform.kube.list(WORKSPACE).items
            except KubeError as error:
                live.update(f"the API server does not answer: {error}", refresh=True)
            else:
                live.update(screen(console, workspaces, events, footer), refresh=True)


@app.command()
def down(
    directory: Directory = DEFAULT_DIRECTORY,
    purge: Annotated[
        bool, typer.Option("--purge", help="Forget its state too: Workspaces, certificates, logs.")
    ] = False,
) -> None:
    """End the platform that runs in this directory, and whatever a killed one has left."""
    directory = directory.resolve()
    if not directory.exists():
        console.print(f"There is no platform in {_shown(directory)}.")
        return
    pid = holder(directory / "lock")
    if pid is not None:
        with console.status(f"ending process {pid}"):
            end_process(pid, DOWN_SECONDS)
    left = ProcessTable(directory).end_leftovers()
    if purge:
        shutil.rmtree(directory)
    what = "The platform is down" if pid is not None else "No platform was running"
    console.print(
        what
        + (f"; ended {len(left)} processes that were left" if left else "")
        + ("; its state is gone." if purge else ".")
    )


@app.command()
def status(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Is the platform up, and how are its Workspaces? Exit code 1 where it is not."""
    directory = directory.resolve()
    pid = holder(directory / "lock") if directory.exists() else None
    if pid is None:
        console.print(f"No platform runs in {_shown(directory)}. Start one with `kaito up`.")
        raise typer.Exit(1)
    kubeconfig = directory / "kubeconfig"
    port = (directory / "route-port").read_text()
    console.print(
        f"process     {pid}\nkubeconfig  {_shown(kubeconfig)}\nroutes      http://NAME.NAMESPACE.localhost:{port}"
    )
    try:
        workspaces = Kube.from_kubeconfig(kubeconfig).list(WORKSPACE).items
    except KubeError as error:
        console.print(f"The API server does not answer: {error}. Is the platform still starting?")
        raise typer.Exit(1) from error
    console.print(workspaces_table(workspaces, datetime.now(UTC)))


@app.command()
def demo() -> None:
    """The whole story in one go: nodes, a model that answers, a model this machine cannot have, and clean-up."""
    raise typer.Exit(0 if demonstration.run(console) else 1)


def main() -> None:
    """Errors that the user can do something about end in a sentence, not a traceback."""
    try:
        app()
    except (EmbeddedError, KubeError) as error:
        console.print(f"[red]{type(error).__name__}[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _shown(path: Path) -> str:
    """Relative to where the user is, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
