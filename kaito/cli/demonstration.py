"""``kaito demo``: the main job on the embedded platform, step by step, as a user would do it.

Everything is done with the very commands a user types: kubectl for Workspaces, HTTP for the model.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.markup import escape

from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.resources import MACHINE, NODE, WORKSPACE, Object
from kaito.cli.interrupts import undisturbed
from kaito.embedded import manifests
from kaito.embedded.arm.azure import Azure
from kaito.embedded.error import EmbeddedError
from kaito.embedded.platform import Platform
from kaito.runtime.kube import KubeError
from kaito.runtime.log import configure

QUESTION: Final = "What is the capital of France?"
EXPECTED: Final = "Paris"
CPU, GPU = "workspace-smollm2", "workspace-phi-3-mini"
STEP_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1


class DemoError(EmbeddedError):
    """A step did not come to its end; the message says what was seen last."""


@dataclass
class Story:
    """The steps so far with their seconds; a step prints a line when it is over."""

    console: Console
    platform: Platform
    azure: Azure | None = None
    stages: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def step(self, name: str, text: str) -> Iterator[Callable[[str], None]]:
        """Yields a way to say how far it is."""
        begin = time.monotonic()
        with self.console.status(text) as status:
            yield lambda so_far: status.update(f"{text} [dim]{escape(so_far)}[/]")
        self.stages[name] = round(time.monotonic() - begin, 2)
        self.console.print(f"[green]✓[/] {text} [dim]{self.stages[name]:.1f} s[/]", highlight=False)

    def kubectl(self, *words: str) -> str:
        """Run kubectl, showing the command; raises DemoError with its words where it fails."""
        _command(self.console, f"kubectl {' '.join(words)}")
        argv = [str(self.platform.programs.kubectl), "--kubeconfig", str(self.platform.kubeconfig), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def show(self, *words: str) -> None:
        self.console.print(self.kubectl(*words), highlight=False, soft_wrap=True, markup=False)

    def show_azure(self, *methods: str) -> None:
        """What Azure was asked to do, where the nodes are its."""
        if self.azure is not None:
            lines = [line for line in self.azure.wire() if line.startswith(methods)]
            self.console.print(
                "\n".join(f"  [dim]Azure:[/] {escape(line)}" for line in lines), highlight=False, soft_wrap=True
            )

    def wait(self, reached: Callable[[], str | None]) -> None:
        """Until ``reached`` says None; what it says else is what is waited for."""
        deadline, never = time.monotonic() + STEP_SECONDS, threading.Event()
        while (missing := reached()) is not None:
            if time.monotonic() > deadline:
                raise DemoError(f"after {STEP_SECONDS:.0f} s: {missing}")
            never.wait(_POLL_SECONDS)

    def condition(self, workspace: str, kind: str) -> Condition | None:
        found = self.platform.kube.get(WORKSPACE, workspace, "default")
        return conditions_of(found).get(kind) if found else None


def run(console: Console, *, on_azure: bool = False) -> bool:
    """Tell the story; the last line printed is its JSON. False where it did not come to its end.

    Then its folder is kept, for the logs; after Ctrl-C, which is raised again in the end, it is not. Nodes are agent
    pools of an emulated Azure where it is told ``on_azure``.
    """
    directory = Path(tempfile.mkdtemp(prefix="kaito-demo-"))
    azure = Azure(directory) if on_azure else None
    story = Story(console, Platform(directory / "platform", azure=azure), azure)
    answer, ok, kept = "", False, True
    with (directory / "platform.log").open("a") as log:
        configure(log)
        try:
            answer = _tell(story)
            ok = EXPECTED in answer
            kept = not ok
        except KeyboardInterrupt:
            kept = False
            raise
        except (EmbeddedError, KubeError, httpx.HTTPError) as error:
            said = f"[red]✗ {type(error).__name__}[/]: {escape(str(error))}"
            console.print(said, highlight=False, soft_wrap=True)
        finally:
            with undisturbed(), console.status("stopping the platform"):
                story.platform.stop()
                if kept:
                    console.print(f"Its logs are in {directory}", highlight=False, soft_wrap=True, markup=False)
                else:
                    shutil.rmtree(directory)
    seconds = round(time.monotonic() - story.started, 2)
    figures = {"ok": ok, "seconds": seconds, "stages": story.stages, "answer": answer}
    console.print(json.dumps(figures), highlight=False, soft_wrap=True, markup=False)
    return ok


def _tell(story: Story) -> str:
    console, platform = story.console, story.platform
    with story.step(
        "platform", "A Kubernetes API server, its controllers, an event broker and our two functions start"
    ) as say:
        platform.start(say)

    console.rule("[bold]Two Workspaces", align="left")
    examples = _examples()
    _print_manifest(console, examples / "phi-3-mini.yaml")
    with story.step("apply", "Both are accepted by the API server"):
        for name in ("phi-3-mini", "smollm2"):
            story.kubectl("apply", "-f", str(examples / f"{name}.yaml"))
    with story.step("nodes", "Their nodes are provisioned: Workspace → event → Machine → event → Node") as say:
        story.wait(lambda: _told(say, _unready(story, "ResourceReady")))
    story.show_azure("PUT")
    story.show("get", "machine")

    console.rule("[bold]A model this machine cannot have", align="left")
    with story.step("refusal", f"{GPU} says what is missing, and does not hang"):
        story.wait(lambda: _not_failed(story.condition(GPU, "InferenceReady")))
    story.show("get", "ksvc", GPU)
    failed = story.condition(GPU, "InferenceReady")
    assert failed is not None
    said = f"  [yellow]{escape(failed.reason)}[/]: {escape(failed.message)}\n"
    console.print(said, highlight=False, soft_wrap=True)

    console.rule("[bold]A model that answers", align="left")
    with story.step("ready", f"{CPU}: its Knative Service loads the weights and generates a first token") as say:
        story.wait(lambda: _told(say, _not_ready(story.condition(CPU, "WorkspaceReady"))))
    story.show("get", "workspace")
    url = f"{platform.route('default', CPU)}/chat"
    _command(console, f"curl {url} -d '{json.dumps({'prompt': QUESTION})}'")
    with story.step("answer", "It answers"):
        answer = _ask(platform)
    console.print(f"  [bold]{escape(answer)}[/]\n", highlight=False)

    console.rule("[bold]Clean-up", align="left")
    with story.step("cleanup", "Deleting the Workspaces removes their Services, Machines and Nodes"):
        story.kubectl("delete", "workspace", CPU, GPU)
        story.wait(lambda: _left(story))
    story.show_azure("DELETE")
    return answer


def _ask(platform: Platform) -> str:
    """As curl does it: \\*.localhost is this machine, whatever the resolver says."""
    host = f"{CPU}.default.localhost:{platform.port}"
    url = f"http://127.0.0.1:{platform.port}/chat"
    response = httpx.post(url, headers={"Host": host}, json={"prompt": QUESTION}, timeout=STEP_SECONDS, trust_env=False)
    response.raise_for_status()
    try:
        return str(response.json()["Result"])
    except (ValueError, KeyError, TypeError) as error:
        raise DemoError(f"{url} answered {response.text[:200]!r}, which is no JSON object with a Result") from error


def _examples() -> Path:
    """As a user would name the folder from where they are."""
    folder = manifests.CONFIG / "examples"
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _command(console: Console, line: str) -> None:
    console.print(f"[dim]$ {escape(line)}[/]", highlight=False, soft_wrap=True)


def _print_manifest(console: Console, path: Path) -> None:
    for line in path.read_text().splitlines():
        console.print(f"  [dim]{escape(line)}[/]", highlight=False)


def _told(say: Callable[[str], None], missing: str | None) -> str | None:
    if missing is not None:
        say(missing)
    return missing


def _unready(story: Story, kind: str) -> str | None:
    for name in (GPU, CPU):
        missing = _not_ready(story.condition(name, kind))
        if missing is not None:
            return f"{name}: {missing}"
    return None


def _not_ready(condition: Condition | None) -> str | None:
    if condition is None:
        return "no function has seen it yet"
    return None if condition.status == "True" else condition.message


def _not_failed(condition: Condition | None) -> str | None:
    return None if condition is not None and condition.status == "False" else "it says nothing of the kind"


def _left(story: Story) -> str | None:
    kinds = (WORKSPACE, MACHINE, NODE)
    left: list[Object] = [obj for kind in kinds for obj in story.platform.kube.list(kind).items]
    return ", ".join(f"{obj['kind']} {obj['metadata']['name']}" for obj in left) or None
