"""A chat with a ready model, for the page: only ever what the API server names, and only its completions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.models import Models, NotAsked, Turn, chats
from kaito.api.resources import Object

#: Questions at once.
AT_ONCE: Final = 8
_EXAMPLE: Final = '{"messages": [{"role": "user", "content": "Hello"}]}'


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=1000)]


class Chats:
    """As many at once as there are places; ``inside`` the cluster or not."""

    def __init__(self, *, inside: bool) -> None:
        self._models = Models(inside=inside)
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def ask(self, workspace: Object | None, body: bytes) -> Iterator[bytes]:
        """The answer as it comes, in the words of text/event-stream. Raises NotAsked."""
        try:
            asked = Asked.model_validate_json(body)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, wrong["loc"])) or "body"
            raise NotAsked(400, f"{where}: {wrong['msg']}. Send {_EXAMPLE}.") from None
        if workspace is None:
            raise NotAsked(404, "the cluster has no such Workspace")
        if not chats(workspace):
            raise NotAsked(409, "it serves no model yet: its conditions say what it waits for")
        if not self._places.acquire(blocking=False):
            raise NotAsked(429, f"{AT_ONCE} questions are being answered already: ask again later")
        try:
            answer = self._models.ask(workspace, asked.messages)
        except BaseException:
            self._places.release()
            raise
        return _Answer(answer, self._places)


class _Answer(Iterator[bytes]):
    """What comes, to its end or until nobody listens: then the server hears of that, and the place is free."""

    def __init__(self, answer: httpx.Response, places: threading.BoundedSemaphore) -> None:
        self._answer, self._places = answer, places
        self._pieces = answer.iter_raw()
        self._open = True

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except httpx.HTTPError as error:
            self.close()
            raise StopIteration from error
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        if self._open:
            self._open = False
            self._answer.close()
            self._places.release()
