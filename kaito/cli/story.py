"""Stories that ``kaito demo`` tells: what a user would do, step by step, on an embedded platform of its own.

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
from typing import Any, Final

import httpx
from rich.console import Console
from rich.markup import escape

from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.resources import WORKSPACE
from kaito.cli.interrupts import undisturbed
from kaito.embedded import manifests
from kaito.embedded.arm.azure import Azure
from kaito.embedded.error import EmbeddedError
from kaito.embedded.platform import Platform
from kaito.runtime.kube import KubeError
from kaito.runtime.log import configure

STEP_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1


class DemoError(EmbeddedError):
    """A step did not come to its end; the message says what was seen last."""


@dataclass
class Story:
    """The steps so far with their seconds; a step prints a line when it is over. ``directory`` is the story's own."""

    console: Console
    platform: Platform
    directory: Path
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

    def begin(self) -> None:
        """Start the platform."""
        text = "A Kubernetes API server, its controllers, an event broker and our functions start"
        with self.step("platform", text) as say:
            self.platform.start(say)

    def chapter(self, title: str) -> None:
        self.console.rule(f"[bold]{title}", align="left")

    def command(self, line: str) -> None:
        self.console.print(f"[dim]$ {escape(line)}[/]", highlight=False, soft_wrap=True)

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """Run kubectl, showing the command; raises DemoError with its words where it fails. ``given``: its input."""
        self.command(f"kubectl {' '.join(words)}")
        argv = [str(self.platform.programs.kubectl), "--kubeconfig", str(self.platform.kubeconfig), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, input=given)
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def show(self, *words: str) -> None:
        self.console.print(self.kubectl(*words), highlight=False, soft_wrap=True, markup=False)

    def print_manifest(self, text: str) -> None:
        for line in text.splitlines():
            self.console.print(f"  [dim]{escape(line)}[/]", highlight=False)

    def wait(self, reached: Callable[[], str | None], seconds: float = STEP_SECONDS) -> None:
        """Until ``reached`` says None; what it says else is what is waited for."""
        deadline, never = time.monotonic() + seconds, threading.Event()
        while (missing := reached()) is not None:
            if time.monotonic() > deadline:
                raise DemoError(f"after {seconds:.0f} s: {missing}")
            never.wait(_POLL_SECONDS)

    def condition(self, workspace: str, kind: str) -> Condition | None:
        found = self.platform.kube.get(WORKSPACE, workspace, "default")
        return conditions_of(found).get(kind) if found else None

    def ask(self, workspace: str, question: str) -> str:
        """The answer, asked for as curl does it: \\*.localhost is this machine, whatever the resolver says."""
        port, asked = self.platform.port, {"prompt": question}
        self.command(f"curl {self.platform.route('default', workspace)}/chat -d '{json.dumps(asked)}'")
        host, url = f"{workspace}.default.localhost:{port}", f"http://127.0.0.1:{port}/chat"
        response = httpx.post(url, headers={"Host": host}, json=asked, timeout=STEP_SECONDS, trust_env=False)
        response.raise_for_status()
        try:
            return str(response.json()["Result"])
        except (ValueError, KeyError, TypeError) as error:
            raise DemoError(f"{url} answered {response.text[:200]!r}, which is no JSON object with a Result") from error


#: Tells a story, and gives its figures: ``ok`` says whether it came to a good end.
Tale = Callable[[Story], dict[str, Any]]


def run(console: Console, tale: Tale, *, on_azure: bool = False) -> bool:
    """Tell the story; the last line printed is its JSON. False where it did not come to its end.

    Then its folder is kept, for the logs; after Ctrl-C, which is raised again in the end, it is not. Nodes are agent
    pools of an emulated Azure where it is told ``on_azure``.
    """
    directory = Path(tempfile.mkdtemp(prefix="kaito-demo-"))
    azure = Azure(directory) if on_azure else None
    story = Story(console, Platform(directory / "platform", azure=azure), directory, azure)
    figures: dict[str, Any] = {"ok": False}
    kept = True
    with (directory / "platform.log").open("a") as log:
        configure(log)
        try:
            figures = tale(story)
            kept = not figures["ok"]
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
    told = json.dumps({**figures, "seconds": seconds, "stages": story.stages})
    console.print(told, highlight=False, soft_wrap=True, markup=False)
    return bool(figures["ok"])


def examples() -> Path:
    """The folder, as a user would name it from where they are."""
    folder = manifests.CONFIG / "examples"
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def not_ready(condition: Condition | None) -> str | None:
    if condition is None:
        return "no function has seen it yet"
    return None if condition.status == "True" else condition.message


def told(say: Callable[[str], None], missing: str | None) -> str | None:
    """Passes on what is missing, having said it."""
    if missing is not None:
        say(missing)
    return missing
