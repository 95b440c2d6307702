"""``kaito chat``: a ready model's answers, as they come."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from console.models import Models, NotAsked, Turn, chats, key_of
from kaito.api.conditions import conditions_of
from kaito.api.resources import WORKSPACE, Object
from kaito.cli.planning import NoWorkspace
from kaito.embedded.error import EmbeddedError
from kaito.runtime.kube import Kube

#: What shells say of a program that Ctrl-C has ended.
_INTERRUPTED: Final = 130
#: A terminal obeys these: a model is not to give it orders.
_ORDERS: Final = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


class NotAnswered(EmbeddedError):
    """The model is not ready, or has not answered to the end."""


@dataclass
class Conversation:
    """With the model of a Workspace: ``turns`` so far, and what the last answer took."""

    workspace: Object
    max_tokens: int | None
    turns: list[Turn] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    models: Models = field(default_factory=lambda: Models(inside=False))

    def ask(self, question: str) -> Generator[str]:
        """The answer, piece by piece. Of one that is stopped, what was said stays said; a question that is not answered
        was never asked. Raises NotAnswered."""
        asked = [*self.turns, Turn(role="user", content=question)]
        said = list[str]()
        try:
            with contextlib.closing(self.models.ask(self.workspace, asked, self.max_tokens)) as response:
                for piece in self._pieces(response):
                    said.append(piece)
                    yield piece
        except (NotAsked, httpx.HTTPError) as error:
            raise NotAnswered(f"{key_of(self.workspace)} does not answer: {error or type(error).__name__}") from error
        finally:
            if said:
                self.turns = [*asked, Turn(role="assistant", content="".join(said))]

    def _pieces(self, response: httpx.Response) -> Iterator[str]:
        for line in response.iter_lines():
            _, _, text = line.partition("data: ")
            if text == "[DONE]":
                return
            chunk = json.loads(text) if text else {}
            if "error" in chunk:
                raise NotAnswered(f"{key_of(self.workspace)} breaks off: {chunk['error'].get('message', '')}")
            self.usage = chunk.get("usage") or self.usage
            yield from (it["delta"]["content"] for it in chunk.get("choices", ()) if it["delta"].get("content"))
        raise NotAnswered(f"{key_of(self.workspace)} breaks off in the middle of its answer: ask again")


def ready(kube: Kube, namespace: str, name: str, system: str, max_tokens: int | None) -> Conversation:
    """A conversation that can be had now. Raises NoWorkspace and NotAnswered."""
    workspace = kube.get(WORKSPACE, name, namespace)
    if workspace is None:
        raise NoWorkspace(f"there is no Workspace {name} in the namespace {namespace}: kubectl get workspace -A")
    if "inference" not in workspace:
        raise NotAnswered(f"{namespace}/{name} tunes a model and serves none: ask a Workspace with inference")
    if not chats(workspace):
        found = conditions_of(workspace).get("WorkspaceReady")
        message = found.message if found else "no function has seen it yet"
        raise NotAnswered(f"{namespace}/{name} is not ready: {message.rstrip('.')}; see kaito why {namespace}/{name}")
    return Conversation(workspace, max_tokens, [Turn(role="system", content=system)] if system else [])


def answered_json(conversation: Conversation, question: str) -> str:
    """The whole answer, for a program."""
    text = "".join(conversation.ask(question))
    return json.dumps({"text": text, "usage": conversation.usage}, indent=2)


def answered(conversation: Conversation, question: str) -> int:
    """Say the answer as it comes; the exit code."""
    return 0 if _said(conversation, question) else _INTERRUPTED


def converse(conversation: Conversation) -> None:
    """Until Ctrl-D; Ctrl-C stops an answer."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - the question can be edited, and earlier ones are at hand
    print(f"{key_of(conversation.workspace)} listens. Ctrl-C stops an answer, Ctrl-D ends this.")
    while True:
        try:
            question = input("> ").strip()
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        try:
            if question:
                _said(conversation, question)
        except NotAnswered as error:
            print(error, file=sys.stderr)


def _said(conversation: Conversation, question: str) -> bool:
    """Was it said to the end?"""
    terminal = sys.stdout.isatty()
    answer = conversation.ask(question)
    try:
        for piece in answer:
            print(piece.translate(_ORDERS) if terminal else piece, end="", flush=True)
    except KeyboardInterrupt:
        return False
    finally:
        answer.close()
        print()
    return True
