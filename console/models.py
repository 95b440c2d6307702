"""Asking a ready model: where it is, and its answer as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from kaito.api.conditions import conditions_of
from kaito.api.resources import Object

#: A model that was at zero needs its time to come back.
_TIMEOUT: Final = httpx.Timeout(300, connect=5)
#: Bytes of what a server says is wrong.
_MOST_SAID: Final = 4096


class NotAsked(Exception):
    """The model was not asked, or has not answered: ``status`` is HTTP's, and the text says why."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant", "system"]
    content: str


def key_of(workspace: Object) -> str:
    """NAMESPACE/NAME."""
    return f"{workspace['metadata'].get('namespace', '')}/{workspace['metadata']['name']}"


def chats(workspace: Object) -> bool:
    """Does it serve a model that may be asked now?"""
    serves = conditions_of(workspace).get("InferenceReady")
    return serves is not None and serves.status == "True" and bool((workspace.get("status") or {}).get("url"))


class Models:
    """``inside`` the cluster a model's server is at the name that its Service has there; elsewhere at the URL of the
    Workspace's status."""

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    def ask(self, workspace: Object, turns: Sequence[Turn], max_tokens: int | None = None) -> httpx.Response:
        """Its answer, as a stream of text/event-stream that is to be closed. Raises NotAsked."""
        url = self._url(workspace)
        host = {"Host": url.netloc.decode()}
        if url.host.endswith(".localhost"):  # is this machine, whatever the resolver says
            url = url.copy_with(host="127.0.0.1")
        try:
            models = self._client.get(url.join("/v1/models"), headers=host)
            if models.status_code != 200:
                raise NotAsked(502, _said(models))
            body = {
                "model": models.json()["data"][0]["id"],
                "messages": [it.model_dump() for it in turns],
                "stream": True,
                "stream_options": {"include_usage": True},
                **({"max_completion_tokens": max_tokens} if max_tokens else {}),
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

    def _url(self, workspace: Object) -> httpx.URL:
        meta = workspace["metadata"]
        named = f"http://{meta['name']}.{meta['namespace']}.svc.cluster.local"
        try:
            return httpx.URL(named if self._inside else workspace["status"]["url"])
        except httpx.InvalidURL as error:
            raise NotAsked(502, f"its status.url is none: {error}") from error


def _said(answer: httpx.Response) -> str:
    """Its own words, where it has some."""
    try:
        body = answer.json()
        return str(body["error"]["message"] if isinstance(body["error"], dict) else body["error"])[:_MOST_SAID]
    except (ValueError, LookupError, TypeError):
        return f"the model's server answers {answer.status_code}: {answer.text[:200]}"
