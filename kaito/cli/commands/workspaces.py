"""What is about Workspaces and their models: ``kaito plan``, ``why``, ``presets``, ``catalogue``, ``chat`` and
``console``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from kaito.cli import completion
from kaito.cli.options import (
    DEFAULT_DIRECTORY,
    Cluster,
    Directory,
    Format,
    Kubeconfig,
    Namespace,
    Output,
    Recordings,
    WorkspaceName,
    named,
)


def plan(
    file: Annotated[str, typer.Option("--file", "-f", help="Manifests with Workspaces; - for standard input.")],
    kubeconfig: Kubeconfig = None,
    output: Format = Output.TEXT,
) -> None:
    """What would become of a Workspace, and whether it fits; nothing is changed. Exit code 1 where one does not fit."""
    from kaito.cli import planning
    from kaito.runtime.kube import Kube

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


def why(
    workspace: WorkspaceName,
    namespace: Namespace = "",
    kubeconfig: Cluster = None,
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """What a Workspace waits for, since when, and where to look. Exit code 1 where it is not ready.

    WORKSPACE is NAME, NAMESPACE/NAME or workspace/NAME.
    """
    where, name = named(workspace, namespace)
    from kaito.cli import planning
    from kaito.cli.clusters import cluster

    asked, now = cluster(kubeconfig, directory), datetime.now(UTC)
    where = where or asked.namespace
    explanation = planning.Installation(asked.kube).why(where, name, now)
    if output is Output.JSON:
        print(planning.to_json([planning.why_json(f"{where}/{name}", explanation)]))
    else:
        print(planning.why_text(f"{where}/{name}", explanation, now))
    raise typer.Exit(0 if explanation.obstacle is None else 1)


def presets(
    name: Annotated[str, typer.Argument(autocompletion=completion.presets, show_default=False)] = "",
    kubeconfig: Kubeconfig = None,
    output: Format = Output.TEXT,
) -> None:
    """The models that a Workspace can name, and the instance types that they fit on; with a NAME or alias, all of one.

    They are those of the cluster's catalogue; where none is asked, the ones that come with this release.
    """
    from kaito.cli import models
    from kaito.cli.planning import Installation
    from kaito.runtime.kube import Kube

    catalogue = Installation(Kube.from_kubeconfig(kubeconfig) if kubeconfig else None).catalogue
    found = [models.find(catalogue, name)] if name else models.every(catalogue)
    if output is Output.JSON:
        print(models.to_json(found, catalogue))
    else:
        print(models.described(found[0], catalogue) if name else models.table(found, catalogue))


def catalogue(
    folder: Annotated[
        Path | None,
        typer.Argument(show_default=False),
    ] = None,
) -> None:
    """A catalogue of models and instance types as a ConfigMap, for `kubectl apply -f -`.

    FOLDER holds models.yaml and skus.csv; left out, it is the project's own.
    """
    from presets import FOLDER, manifest

    sys.stdout.write(manifest.text(folder or FOLDER))


def chat(
    workspace: WorkspaceName,
    question: Annotated[str, typer.Argument(show_default=False)] = "",
    namespace: Namespace = "",
    system: Annotated[str, typer.Option(metavar="PROMPT", help="What the model is told before all else.")] = "",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="At most so many tokens an answer; left out, as the model has it.")
    ] = None,
    kubeconfig: Cluster = None,
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Ask a ready model, here. Exit code 1 where it is not ready or does not answer.

    WORKSPACE is NAME, NAMESPACE/NAME or workspace/NAME. A QUESTION is answered once; in a pipe, it is what comes in.
    Without one it is a conversation until Ctrl-D, in which Ctrl-C stops an answer.
    """
    where, name = named(workspace, namespace)
    if not question and not sys.stdin.isatty():
        question = sys.stdin.read().strip()
        if not question:
            raise typer.BadParameter("nothing comes in: give a QUESTION", param_hint="QUESTION")
    if output is Output.JSON and not question:
        raise typer.BadParameter("JSON is of one answer: give a QUESTION", param_hint="--output")
    from kaito.cli import chatting
    from kaito.cli.clusters import cluster

    asked = cluster(kubeconfig, directory)
    model = chatting.ready(asked.kube, where or asked.namespace, name, system, max_tokens)
    if output is Output.JSON:
        print(chatting.answered_json(model, question))
    elif question:
        raise typer.Exit(chatting.answered(model, question))
    else:
        chatting.converse(model)


def console(
    workspace: Annotated[
        str,
        typer.Argument(
            metavar="[WORKSPACE]",
            autocompletion=completion.workspaces,
            show_default=False,
        ),
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of that Workspace; left out, default.")] = "",
    recording: Recordings = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Of the cluster to watch, in the place of --dir's.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 0,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Serve a page, to this machine alone: Workspaces with their stages, events and decisions, live, until Ctrl-C.

    With --recording alone it is of what was recorded; no cluster is asked. The page begins with the WORKSPACE, which is
    NAME, NAMESPACE/NAME or workspace/NAME.
    """
    where, name = named(workspace, namespace) if workspace else (namespace, "")
    if where and not name:
        raise typer.BadParameter("it is of a WORKSPACE: name one", param_hint="--namespace")
    from kaito.cli import console as page

    page.run(recording or (), kubeconfig, port, directory, f"{where or 'default'}/{name}" if name else "")
