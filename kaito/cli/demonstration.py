"""``kaito demo``: the main job, from two Workspaces to an answer, and clean-up."""

from __future__ import annotations

from typing import Any, Final

from rich.markup import escape

from kaito.api.meta import Condition
from kaito.api.resources import MACHINE, NODE, WORKSPACE, Object
from kaito.cli.story import Story, examples, not_ready, told

QUESTION: Final = "What is the capital of France?"
EXPECTED: Final = "Paris"
CPU, GPU = "workspace-smollm2", "workspace-phi-3-mini"


def tell(story: Story) -> dict[str, Any]:
    """Nodes, a model that this machine cannot have, one that answers, and clean-up."""
    console = story.console
    story.begin()

    story.chapter("Two Workspaces")
    folder = examples()
    story.print_manifest((folder / "phi-3-mini.yaml").read_text())
    with story.step("apply", "Both are accepted by the API server"):
        for name in ("phi-3-mini", "smollm2"):
            story.kubectl("apply", "-f", str(folder / f"{name}.yaml"))
    with story.step("nodes", "Their nodes are provisioned: Workspace → event → Machine → event → Node") as say:
        story.wait(lambda: told(say, _unready(story, "ResourceReady")))
    _show_azure(story, "PUT")
    story.show("get", "machine")

    story.chapter("A model this machine cannot have")
    with story.step("refusal", f"{GPU} says what is missing, and does not hang"):
        story.wait(lambda: _not_failed(story.condition(GPU, "InferenceReady")))
    story.show("get", "ksvc", GPU)
    failed = story.condition(GPU, "InferenceReady")
    assert failed is not None
    said = f"  [yellow]{escape(failed.reason)}[/]: {escape(failed.message)}\n"
    console.print(said, highlight=False, soft_wrap=True)

    story.chapter("A model that answers")
    with story.step("ready", f"{CPU}: its Knative Service loads the weights and generates a first token") as say:
        story.wait(lambda: told(say, not_ready(story.condition(CPU, "WorkspaceReady"))))
    story.show("get", "workspace")
    with story.step("answer", "It answers"):
        answer = story.ask(CPU, QUESTION)
    console.print(f"  [bold]{escape(answer)}[/]\n", highlight=False)

    story.chapter("Clean-up")
    with story.step("cleanup", "Deleting the Workspaces removes their Services, Machines and Nodes"):
        story.kubectl("delete", "workspace", CPU, GPU)
        story.wait(lambda: _left(story))
    _show_azure(story, "DELETE")
    return {"ok": EXPECTED in answer, "answer": answer}


def _show_azure(story: Story, *methods: str) -> None:
    """What Azure was asked to do, where the nodes are its."""
    if story.azure is not None:
        lines = [f"  [dim]Azure:[/] {escape(line)}" for line in story.azure.wire() if line.startswith(methods)]
        story.console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _unready(story: Story, kind: str) -> str | None:
    for name in (GPU, CPU):
        missing = not_ready(story.condition(name, kind))
        if missing is not None:
            return f"{name}: {missing}"
    return None


def _not_failed(condition: Condition | None) -> str | None:
    return None if condition is not None and condition.status == "False" else "it says nothing of the kind"


def _left(story: Story) -> str | None:
    kinds = (WORKSPACE, MACHINE, NODE)
    left: list[Object] = [obj for kind in kinds for obj in story.platform.kube.list(kind).items]
    return ", ".join(f"{obj['kind']} {obj['metadata']['name']}" for obj in left) or None
