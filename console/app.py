"""The page over HTTP: files, what there is as JSON, what is new as a stream, and a model's answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from console.chat import Chats
from console.console import Console
from console.models import NotAsked
from console.views import Json, row_view

#: Names of this machine, which no page of somebody else's can have.
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: Streams at once.
STREAMS: Final = 32
#: Seconds after which who does not take what is sent is hung up on.
SLOW: Final = 30.0
#: Workspaces that are shown as they were; a sweep is about all.
_MOMENTS: Final = 20
_STATIC: Final = Path(__file__).with_name("static")
_MAX_BODY: Final = 1 << 20
_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Within(BaseModel):
    """Which rows: of a Workspace, or all; those that nothing was decided for too, if ``quiet``."""

    model_config = ConfigDict(extra="forbid")

    workspace: str = Field("", max_length=500)
    quiet: bool = False


class _Page(_Within):
    """``offset`` None is for the last ones."""

    offset: int | None = Field(None, ge=0)
    limit: int = Field(100, ge=1, le=500)


def create_app(console: Console, chats: Chats, hosts: Collection[str] = LOOPBACK, streams: int = STREAMS) -> Flask:
    """``hosts``: the names that it may be asked by; a browser that was led here by another one is refused."""
    app = Flask("kaito-console", static_folder=str(_STATIC), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    places = threading.BoundedSemaphore(streams)

    @app.before_request
    def is_meant() -> Any:
        if request.path == "/healthz":
            return None
        if (name := _called()) not in hosts:
            return _refused(421, f"nobody here is called {name}: ask by {sorted(hosts)[0]}")
        console.touch()
        return None

    @app.after_request
    def is_safe(response: Response) -> Response:
        response.headers.update(_SAFE)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.get("/healthz")
    def healthz() -> Response:
        return Response(status=200)

    @app.get("/")
    def page() -> Response:
        return app.send_static_file("index.html")

    @app.get("/api/state")
    def state() -> Json:
        return console.state()

    @app.get("/api/workspaces/<namespace>/<name>")
    def workspace(namespace: str, name: str) -> Any:
        found = console.moment(f"{namespace}/{name}")
        return found if found is not None else _refused(404, f"there is no Workspace {namespace}/{name}")

    @app.get("/api/rows")
    def rows() -> Json:
        asked = _Page.model_validate(request.args.to_dict())
        history, decided = console.history, not asked.quiet
        total = history.count(asked.workspace, decided=decided)
        # The last ones fill a page as those before do, so that pages stay what they are while it grows.
        offset = max(0, total - 1) // asked.limit * asked.limit if asked.offset is None else asked.offset
        found = history.page(asked.workspace, offset, asked.limit, decided=decided)
        return {"total": total, "offset": offset, "rows": [row_view(it) for it in found]}

    @app.get("/api/rows/<name>")
    def row(name: str) -> Any:
        within, found = _Within.model_validate(request.args.to_dict()), console.history.row(name)
        if found is None:
            return _refused(404, f"there is no {name} in what is kept of the recording")
        when: datetime = max((it.when for it in found.line.decisions), default=found.line.record.when)
        moments = {key: console.moment(key, when) for key in sorted(found.workspaces)[:_MOMENTS]}
        place = console.history.place(found, within.workspace, decided=not within.quiet)
        return {"row": row_view(found), "place": place, "story": console.history.story(found), "moments": moments}

    @app.get("/api/stream")
    def stream() -> Response:
        if not places.acquire(blocking=False):
            return _refused(503, f"{streams} pages are open already: close one", {"Retry-After": "5"})
        told = console.feed.stream(request.headers.get("Last-Event-ID", ""), console.touch)
        return _streaming(_Held(told, places))

    @app.post("/api/workspaces/<namespace>/<name>/chat")
    def chat(namespace: str, name: str) -> Response:
        if request.mimetype != "application/json":  # which no other site's page can send unasked
            return _refused(415, "send application/json")
        return _streaming(chats.ask(console.live(f"{namespace}/{name}"), request.get_data(cache=False)))

    @app.errorhandler(ValidationError)
    def not_understood(error: ValidationError) -> Response:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return _refused(400, f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}")

    @app.errorhandler(NotAsked)
    def not_asked(error: NotAsked) -> Response:
        return _refused(error.status, str(error))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        return _refused(error.code or 500, error.description or "")

    return app


class _Held(Iterator[str]):
    """A stream, which has its place until it is closed."""

    def __init__(self, told: Iterator[str], places: threading.BoundedSemaphore) -> None:
        self._told, self._places = told, places
        self._open = True

    def __next__(self) -> str:
        return next(self._told)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._places.release()


def _called() -> str | None:
    """The name that the browser asks by, without a port."""
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        return None


def _streaming(told: Iterator[str] | Iterator[bytes]) -> Response:
    """Events as they come, to who takes them."""
    found = request.environ.get("gunicorn.socket")
    if isinstance(found, socket.socket):
        found.settimeout(SLOW)
    return Response(told, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    response = jsonify(error=reason)
    response.status_code = status
    response.headers.update(headers or {})
    return response
