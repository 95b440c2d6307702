"""The HTTP face of a model: the reference operator's routes ``/``, ``/healthz``, ``/health`` and ``/chat``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from serving.chat import EXAMPLE, RequestError, parse
from serving.startup import Model, NotReadyError

# Requests wait here for their turn; the server has more threads than this, so that a probe always finds one.
MAX_WAITING: Final = 24
_MAX_BODY: Final = 4 * 1024 * 1024  # bytes

_Answer = tuple[dict[str, Any], int]


def create_app(model: Callable[[], Model]) -> Flask:
    """An app over ``model``, which raises NotReadyError while there is none."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    places = threading.BoundedSemaphore(MAX_WAITING)

    @app.get("/")
    def root() -> dict[str, str]:
        return {"message": "Server is running"}

    @app.get("/healthz")
    @app.get("/health")
    def health() -> _Answer:
        try:
            model()
        except NotReadyError as reason:
            return {"status": str(reason)}, 500
        return {"status": "Healthy"}, 200

    @app.post("/chat")
    def chat() -> _Answer:
        asked = parse(request.get_data(cache=False, parse_form_data=False))
        answering = model()
        if not places.acquire(blocking=False):
            return {"error": f"{MAX_WAITING} requests wait already. Send this one again later."}, 503
        try:
            return {"Result": answering.answer(asked)}, 200
        finally:
            places.release()

    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> _Answer:
        return {"error": str(error)}, 400

    @app.errorhandler(NotReadyError)
    def not_ready(error: NotReadyError) -> _Answer:
        return {"error": f"{error}. Send this again when /health answers 200."}, 503

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Any:
        sentence = {
            404: f"There is no {request.path} here. Send POST /chat, or GET /, /health or /healthz.",
            405: f"{request.path} does not take {request.method}. Send POST /chat with {EXAMPLE}.",
            413: f"The body is larger than {_MAX_BODY} bytes. Send a shorter prompt.",
            500: "The model failed while it answered. The server's log has the cause.",
        }.get(error.code or 500, error.description)
        headers = [pair for pair in error.get_headers() if pair[0] == "Allow"]
        return {"error": sentence}, error.code, headers

    return app
