"""Asking a ready model, for the page: only ever what the API server names, and only its completions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.views import chats
from kaito.api.resources import Object

#: A model that was at zero needs its time to come back.
_TIMEOUT: Final = httpx.Timeout(300, connect=5)
#: Bytes of what a server says is wrong.
_MOST_SAID: Final = 4096
#: Questions at once.
AT_ONCE: Final = 8
_EXAMPLE: Final = '{"messages": [{"role": "user", "content": "Hello"}]}'


class NotAsked(Exception):
    """The model was not asked, or has not answered: ``status`` is HTTP's, and the text says why."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant", "system"]
    content: str


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=1000)]


class Chats:
    """``inside`` the cluster a model's server is at the name that its Service has there; elsewhere at the URL of the
    Workspace's status."""

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)
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
            answer = self._post(self._url(workspace), asked.messages)
        except BaseException:
            self._places.release()
            raise
        return _Answer(answer, self._places)

    def _url(self, workspace: Object) -> httpx.URL:
        meta = workspace["metadata"]
        named = f"http://{meta['name']}.{meta['namespace']}.svc.cluster.local"
        try:
            return httpx.URL(named if self._inside else workspace["status"]["url"])
        except httpx.InvalidURL as error:
            raise NotAsked(502, f"its status.url is none: {error}") from error

    def _post(self, url: httpx.URL, messages: Sequence[Turn]) -> httpx.Response:
        host = {"Host": url.netloc.decode()}
        if url.host.endswith(".localhost"):  # is this machine, whatever the resolver says
            url = url.copy_with(host="127.0.0.1")
        try:
            models = self._client.get(url.join("/v1/models"), headers=host)
            if models.status_code != 200:
                raise NotAsked(502, _said(models))
            body = {
                "model": models.json()["data"][0]["id"],
                "messages": [it.model_dump() for it in messages],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            request = self._client.build_request("POST", url.join("/v1/chat/completions"), headers=host, json=body)
            answer = self._client.send(request, stream=True)
            if answer.status_code != 200:
                answer.read()
                answer.close()
                raise NotAsked(answer.status_code if 400 <= answer.status_code < 500 else 502, _said(answer))
        except (httpx.HTTPError, LookupError, ValueError) as error:
            raise NotAsked(502, f"the model's server has not answered: {error or type(error).__name__}") from error
        return answer


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


def _said(answer: httpx.Response) -> str:
    """Its own words, where it has some."""
    try:
        body = answer.json()
        return str(body["error"]["message"] if isinstance(body["error"], dict) else body["error"])[:_MOST_SAID]
    except (ValueError, LookupError, TypeError):
        return f"the model's server answers {answer.status_code}: {answer.text[:200]}"
