"""``kaito``: the commands and what they say when they cannot do what they are asked."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from eventing.recordings.recording import RecordingError
from kaito.api.resources import WORKSPACE
from kaito.cli import circle, demonstration, planning, recorded, story, tracing
from kaito.cli import console as page
from kaito.cli.interrupts import sigterm_as_ctrl_c, undisturbed
from kaito.cli.options import DEFAULT_DIRECTORY, Directory, Format, Kubeconfig, Output
from kaito.cli.watching import EventLog, screen, workspaces_table
from kaito.embedded.arm.azure import Azure
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import holder
from kaito.embedded.manifests import CONFIG
from kaito.embedded.platform import Platform
from kaito.embedded.process import ProcessTable, end_process
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.log import configure
from presets import CatalogueError, manifest
from presets.catalogue import FOLDER

REFRESH_SECONDS: Final = 0.5
DOWN_SECONDS: Final = 30.0

app = typer.Typer(
    help="Run AI models on Kubernetes: one Workspace, event-driven controllers on Knative.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(recorded.events_app, name="events")
app.command()(recorded.replay)
app.command()(tracing.trace)
app.command()(page.console)
console, errors = Console(), Console(stderr=True)


class NotAPlatform(EmbeddedError):
    """The directory is somebody else's."""


class Cloud(StrEnum):
    LOCAL = "local"
    ARM = "arm"


CloudName = Annotated[
    Cloud,
    typer.Option("--cloud", help="Where nodes come from: objects made here, or agent pools of an emulated Azure."),
]


@app.command()
def up(
    directory: Directory = DEFAULT_DIRECTORY,
    cloud: CloudName = Cloud.LOCAL,
    faults: Annotated[
        int | None, typer.Option(help="Have the emulated Azure go wrong, at random from this seed.")
    ] = None,
) -> None:
    """Run the embedded platform until Ctrl-C, showing Workspaces and events."""
    if faults is not None and cloud is not Cloud.ARM:
        raise typer.BadParameter("only the emulated Azure goes wrong: --cloud arm", param_hint="--faults")
    directory = directory.resolve()
    if directory.exists() and not _may_be_platform(directory):
        raise NotAPlatform(f"{_shown(directory)} holds something else: use an empty directory, or one of a platform")
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    sigterm_as_ctrl_c()
    with (directory / "logs" / "platform.log").open("a") as log_file:
        configure(log_file)
        events = EventLog()
        azure = Azure(directory, faults) if cloud is Cloud.ARM else None
        platform = Platform(directory, observer=events, azure=azure)
        try:
            with console.status("starting the platform") as status:
                platform.start(lambda step: status.update(escape(step)))
            if console.is_terminal:
                _watch(platform, events)
            console.print(_hint(platform), highlight=False, markup=False, soft_wrap=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("The platform stops; `kaito up` goes on where it was.")
        finally:
            with undisturbed(), console.status("stopping"):
                platform.stop()


def _hint(platform: Platform) -> str:
    """What to type next, in another terminal."""
    kubectl = f"kubectl --kubeconfig {_quoted(platform.kubeconfig)}"
    route = platform.route("default", "workspace-smollm2")
    return (
        "The platform is up. In another terminal:\n\n"
        f"  {kubectl} apply -f {_quoted(CONFIG / 'examples' / 'smollm2.yaml')}\n"
        f"  {kubectl} get workspace\n"
        f'  curl {route}/chat -d \'{{"prompt": "What is the capital of France?"}}\'\n\n'
        "Ctrl-C or `kaito down` ends it; its state stays."
    )


def _watch(platform: Platform, events: EventLog) -> None:
    """The live picture, until Ctrl-C."""
    routes = platform.route("NAMESPACE", "NAME")
    footer = f"Ctrl-C ends it   export KUBECONFIG={shlex.quote(str(platform.kubeconfig))}   routes: {routes}"
    never = threading.Event()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while not never.wait(REFRESH_SECONDS):
            try:
                workspaces = platform.kube.list(WORKSPACE).items
            except KubeError as error:
                live.update(Text(f"the API server does not answer: {error}"), refresh=True)
            else:
                live.update(screen(console, workspaces, events, _hint(platform), footer), refresh=True)


@app.command()
def down(
    directory: Directory = DEFAULT_DIRECTORY,
    purge: Annotated[
        bool, typer.Option("--purge", help="Forget its state too: Workspaces, certificates, logs.")
    ] = False,
) -> None:
    """End the platform that runs in this directory, and whatever a killed one has left."""
    directory = directory.resolve()
    if not _is_platform(directory):
        if purge and directory.exists():
            raise NotAPlatform(f"{_shown(directory)} does not look like a platform's: nothing is removed")
        console.print(f"There is no platform in {_shown(directory)}.", markup=False)
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
    pid = holder(directory / "lock") if directory.is_dir() else None
    if pid is None:
        where = "" if directory == DEFAULT_DIRECTORY.resolve() else f" --dir {_quoted(directory)}"
        console.print(f"No platform runs in {_shown(directory)}. Start one with `kaito up{where}`.", markup=False)
        raise typer.Exit(1)
    kubeconfig, port_file = directory / "kubeconfig", directory / "route-port"
    port = port_file.read_text() if port_file.exists() else ""
    if not port or not kubeconfig.exists():
        console.print(f"The platform of process {pid} is still starting.")
        raise typer.Exit(1)
    console.print(
        f"process     {pid}\nkubeconfig  {_shown(kubeconfig)}\nroutes      http://NAME.NAMESPACE.localhost:{port}",
        markup=False,
    )
    try:
        workspaces = Kube.from_kubeconfig(kubeconfig).list(WORKSPACE).items
    except KubeError as error:
        console.print(f"The API server does not answer: {error}. Is the platform still starting?", markup=False)
        raise typer.Exit(1) from error
    console.print(workspaces_table(workspaces, datetime.now(UTC)))


@app.command()
def demo(
    cloud: CloudName = Cloud.LOCAL,
    tuning: Annotated[bool, typer.Option("--tuning", help="Tune a model and serve what comes of it.")] = False,
) -> None:
    """The whole story in one go: nodes, a model that answers, a model this machine cannot have, and clean-up; or,
    with --tuning, a model that is tuned, and answers otherwise."""
    sigterm_as_ctrl_c()
    tale = circle.tell if tuning else demonstration.tell
    try:
        told = story.run(console, tale, on_azure=cloud is Cloud.ARM)
    except KeyboardInterrupt:
        console.print("The demo was interrupted; nothing of it is left.")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if told else 1)


@app.command()
def plan(
    file: Annotated[str, typer.Option("--file", "-f", help="Manifests with Workspaces; - for standard input.")],
    kubeconfig: Kubeconfig = None,
    output: Format = Output.TEXT,
) -> None:
    """What would become of a Workspace, and whether it fits; nothing is changed. Exit code 1 where one does not fit."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise planning.NoWorkspace(f"{file} cannot be read: {error.strerror}") from error
    installation = planning.Installation(Kube.from_kubeconfig(kubeconfig) if kubeconfig else None)
    planned = list(installation.plan(text, datetime.now(UTC)))
    if output is Output.JSON:
        print(planning.to_json([it.to_json(installation.catalogue) for it in planned]))
    else:
        print("\n\n".join(planning.plan_text(it, installation.catalogue) for it in planned))
    raise typer.Exit(1 if any(it.refusal for it in planned) else 0)


@app.command()
def why(
    workspace: Annotated[str, typer.Argument()],
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    kubeconfig: Kubeconfig = None,
    output: Format = Output.TEXT,
) -> None:
    """What a Workspace waits for, since when, and where to look. Exit code 1 where it is not ready.

    WORKSPACE is NAME, or workspace/NAME.
    """
    name, now = workspace.rpartition("/")[2], datetime.now(UTC)
    explanation = planning.Installation(Kube.from_kubeconfig(kubeconfig)).why(namespace, name, now)
    if output is Output.JSON:
        print(planning.to_json([planning.why_json(f"{namespace}/{name}", explanation)]))
    else:
        print(planning.why_text(f"{namespace}/{name}", explanation, now))
    raise typer.Exit(0 if explanation.obstacle is None else 1)


@app.command()
def catalogue(folder: Annotated[Path, typer.Argument(show_default=False)] = FOLDER) -> None:
    """A catalogue of models and instance types as a ConfigMap, for `kubectl apply -f -`.

    FOLDER holds models.yaml and skus.csv; left out, it is the project's own.
    """
    sys.stdout.write(manifest.text(folder))


def main() -> None:
    """Errors that the user can do something about end in a sentence, not a traceback."""
    try:
        app()
    except (EmbeddedError, KubeError, CatalogueError, RecordingError) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _is_platform(directory: Path) -> bool:
    """Has a platform ever got as far here as to choose its ports?"""
    return all((directory / name).is_file() for name in ("lock", "ports.json"))


def _may_be_platform(directory: Path) -> bool:
    """A platform's, or still nobody's: an empty directory, or one where a platform only began."""
    return directory.is_dir() and (
        (directory / "lock").is_file() or all(entry.name == "logs" for entry in directory.iterdir())
    )


def _quoted(path: Path) -> str:
    """For a shell."""
    return shlex.quote(_shown(path))


def _shown(path: Path) -> str:
    """Relative to where the user is, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
