"""``kaito demo --tuning``: from a Workspace that tunes to an adapter that serves, with a registry of this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from rich.markup import escape

from kaito.api.meta import Condition
from kaito.api.resources import WORKSPACE, Object
from kaito.cli.story import DemoError, Story, examples, not_ready, told
from kaito.embedded import registry
from kaito.embedded.registry import Registry

QUESTION: Final = "What is KAITO?"
#: Of the answer that the chats teach.
LEARNED: Final = "runs AI models on Kubernetes"
PLAIN, TUNING, TUNED = "workspace-smollm2", "tuning-smollm2", "tuned-smollm2"
_SECRET: Final = "registry"  # noqa: S105 - its name
_PLACEHOLDER: Final = "REGISTRY"
_TUNING_SECONDS: Final = 600.0


def tell(story: Story) -> dict[str, Any]:
    """The model as it is, its tuning, the push of the adapter, and the model with that."""
    with registry.running(_made(story.directory / "registry")) as its, _trusting(its.ca):
        return _tell(story, its)


def _tell(story: Story, its: Registry) -> dict[str, Any]:
    folder = examples()
    story.begin()

    story.chapter("The model as it is")
    story.kubectl("apply", "-f", str(folder / "smollm2.yaml"))
    with story.step("plain", f"{PLAIN} becomes ready") as say:
        story.wait(lambda: told(say, not_ready(story.condition(PLAIN, "WorkspaceReady"))))
    before = _asked(story, PLAIN)

    story.chapter("Data and a secret")
    file = folder / "tuning" / "data" / "chats.jsonl"
    story.console.print(f"  [dim]{escape(file.read_text().splitlines()[0])}[/]", highlight=False, soft_wrap=True)
    with story.step("data", "The chats are in an image, as the adapter will be"):
        _push(story, its, file.parent, "chats:1")
        story.kubectl("apply", "-f", "-", given=yaml.safe_dump(its.secret_object(_SECRET)))

    story.chapter("A Workspace that tunes")
    text = (folder / "tuning" / "workspaces.yaml").read_text().replace(_PLACEHOLDER, its.host)
    objects = list(yaml.safe_load_all(text))
    story.print_manifest(_workspace(objects, TUNING))
    with story.step("tuning", f"{TUNING}: node, Job, data, training, push") as say:
        story.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(it for it in objects if not _named(it, TUNED)))
        story.wait(lambda: told(say, _untuned(story.condition(TUNING, "WorkspaceReady"))), _TUNING_SECONDS)
    story.show("get", "workspace,job,pod")
    story.show("get", "events", "--field-selector", f"involvedObject.name={TUNING}")
    digest = _digest(story)
    story.console.print(f"  The adapter: [bold]{escape(digest)}[/]\n", highlight=False)

    story.chapter("A Workspace with what came of it")
    story.print_manifest(_workspace(objects, TUNED))
    with story.step("tuned", f"{TUNED} pulls the adapter and becomes ready") as say:
        story.kubectl("apply", "-f", "-", given=_workspace(objects, TUNED))
        story.wait(lambda: told(say, not_ready(story.condition(TUNED, "WorkspaceReady"))))
    after = _asked(story, TUNED)
    ok = LEARNED in after and LEARNED not in before
    return {"ok": ok, "before": before, "after": after, "digest": digest}


@contextlib.contextmanager
def _trusting(ca: Path) -> Iterator[None]:
    """What is started meanwhile trusts this certificate."""
    before = os.environ.get("REQUESTS_CA_BUNDLE")
    os.environ["REQUESTS_CA_BUNDLE"] = str(ca)
    try:
        yield
    finally:
        if before is None:
            del os.environ["REQUESTS_CA_BUNDLE"]
        else:
            os.environ["REQUESTS_CA_BUNDLE"] = before


def _push(story: Story, its: Registry, folder: Path, image: str) -> None:
    credentials = story.directory / "config.json"
    credentials.write_text(its.secret)
    words = ["-m", "oci.push", str(folder), f"{its.host}/{image}", f"--credentials={credentials}"]
    story.command(f"python {' '.join(words)}")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"python -m oci.push: {done.stderr.strip()}")


def _asked(story: Story, workspace: str) -> str:
    answer = story.ask(workspace, QUESTION)
    story.console.print(f"  [bold]{escape(answer)}[/]\n", highlight=False, soft_wrap=True)
    return answer


def _untuned(ready: Condition | None) -> str | None:
    if ready is not None and ready.status == "False":
        raise DemoError(f"{TUNING}: {ready.reason}: {ready.message}")
    return not_ready(ready)


def _digest(story: Story) -> str:
    workspace = story.platform.kube.get(WORKSPACE, TUNING, "default") or {}
    return str(workspace["status"]["tuning"]["digest"])


def _workspace(objects: list[Object], name: str) -> str:
    return str(yaml.safe_dump(next(it for it in objects if _named(it, name)), sort_keys=False))


def _named(obj: Object, name: str) -> bool:
    return bool(obj["metadata"]["name"] == name)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
