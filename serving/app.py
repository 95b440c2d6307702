"""The HTTP face of a model: the reference operator's routes ``/``, ``/healthz``, ``/health`` and ``/chat``, OpenAI's
under ``/v1``, a page to chat at ``/ui``, and ``/metrics``."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException

from serving import openai, openapi
from serving.chat import EXAMPLE, RequestError, parse
from serving.metrics import REQUESTS, RUNNING, stages
from serving.pipeline import Gone
from serving.startup import Model, NotReadyError

#: Requests that are answered or wait for their turn; the server has more threads, so that a probe always finds one.
MAX_WAITING: Final = 64
#: Seconds after which a request that found no place may try again.
RETRY_AFTER: Final = "2"
_PAGE: Final = Path(__file__).with_name("ui.html")
_ONLY_ITSELF: Final = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline';"
    " style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
_MAX_BODY: Final = 4 * 1024 * 1024  # bytes
_ROUTES: Final = (
    "POST /chat, /v1/chat/completions or /v1/completions, or GET /, /health, /healthz, /metrics, /startup,"
    " /openapi.json, /ui or /v1/models"
)

_Answer = tuple[dict[str, Any], int]


class BusyError(Exception):
    """There is no place for one more request."""


def create_app(model: Callable[[str], Model], names: Sequence[str] = ("model",)) -> Flask:
    """An app over ``model``, which raises NotReadyError while there is none.

    ``names`` are those that OpenAI's API knows; the first is the one that answers /chat.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    semaphore = threading.BoundedSemaphore(MAX_WAITING)

    @contextmanager
    def place() -> Iterator[None]:
        if not semaphore.acquire(blocking=False):
            raise BusyError(f"{MAX_WAITING} requests wait already. Send this one again later.")
        RUNNING.inc()
        try:
            yield
        finally:
            RUNNING.dec()
            semaphore.release()

    @app.get("/")
    def root() -> dict[str, str]:
        return {"message": "Server is running"}

    @app.get("/healthz")
    @app.get("/health")
    def health() -> _Answer:
        try:
            model(names[0])
        except NotReadyError as reason:
            return {"status": str(reason)}, 500
        return {"status": "Healthy"}, 200

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    @app.get("/startup")
    def startup() -> dict[str, Any]:
        model(names[0])
        return {"stages": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in stages().items()]}

    @app.get("/ui")
    def page() -> Response:
        return Response(_PAGE.read_bytes(), content_type="text/html; charset=utf-8", headers=_ONLY_ITSELF)

    @app.get("/openapi.json")
    def document() -> dict[str, Any]:
        return openapi.document(*names)

    @app.post("/chat")
    def chat() -> _Answer:
        asked = parse(request.get_data(cache=False, parse_form_data=False))
        answering = model(names[0])
        with place():
            return {"Result": answering.answer(asked, gone(request.environ))}, 200

    app.register_blueprint(openai.routes(model, names, place, lambda: gone(request.environ)))

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        REQUESTS.labels(route, str(response.status_code)).inc()
        return response

    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> Any:
        return _error(400, str(error))

    @app.errorhandler(NotReadyError)
    def not_ready(error: NotReadyError) -> Any:
        return _error(503, f"{error}. Send this again when /health answers 200.")

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> Any:
        return _error(429, str(error), {"Retry-After": RETRY_AFTER})

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Any:
        sentence = {
            404: f"There is no {request.path} here. Send {_ROUTES}.",
            405: f"{request.path} does not take {request.method}. Send POST /chat with {EXAMPLE}.",
            413: f"The body is larger than {_MAX_BODY} bytes. Send a shorter prompt.",
            500: openai.FAILED,
        }.get(error.code or 500, error.description)
        allowed = {name: value for name, value in error.get_headers() if name == "Allow"}
        return _error(error.code or 500, str(sentence), allowed)

    return app


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Any:
    """In the words of whose route it is."""
    if request.path.startswith(openai.PREFIX):
        return openai.error(status, sentence), status, headers or {}
    return {"error": sentence}, status, headers or {}


def gone(environ: dict[str, Any]) -> Gone:
    """Has the client of this request hung up? Where the server gives no socket, nobody knows."""
    found = environ.get("gunicorn.socket")
    if not isinstance(found, socket.socket):
        return lambda: False

    def hung_up() -> bool:
        readable, _, _ = select.select([found], [], [], 0)
        # It has sent its request: what there is to read now is its end, or the next request's beginning.
        return bool(readable) and found.recv(1, socket.MSG_PEEK) == b""

    return hung_up
