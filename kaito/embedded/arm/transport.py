"""The emulator without a network: the SDK's own transport, to an adapter that calls it."""

from __future__ import annotations

import io
import json
from typing import Any

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter

from kaito.embedded.arm.emulator import Arm, Request, to_json


class Token:
    """Anybody's: the emulator does not ask who it is."""

    def get_token(self, *_scopes: str, **_: Any) -> AccessToken:
        return AccessToken("emulated", 2**40)


def transport(arm: Arm) -> RequestsTransport:
    """For ``ContainerServiceClient(..., transport=...)``."""
    session = requests.Session()
    session.mount("https://", _Adapter(arm))
    return RequestsTransport(session=session, session_owner=False)


class _Adapter(BaseAdapter):
    def __init__(self, arm: Arm) -> None:
        super().__init__()
        self._arm = arm

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        body = json.loads(request.body) if isinstance(request.body, str | bytes) and request.body else None
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        asked = Request(str(request.method), str(request.url), headers, body)
        answer = self._arm.handle(asked)
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, asked.url, request
        response.headers.update({"Content-Type": "application/json", **answer.headers})
        response.raw = io.BytesIO(to_json(answer))
        return response

    def close(self) -> None:
        """Nothing is open."""
