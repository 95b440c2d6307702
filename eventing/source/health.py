"""What a source in a pod answers over HTTP: is it there, does it hear of all its kinds, and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kaito.api.resources import Kind


def create_app(unlisted: Callable[[], Sequence[Kind]]) -> Flask:
    """``unlisted`` gives the kinds that nothing is heard of yet."""
    app = Flask("source")

    @app.get("/healthz")
    def healthz() -> Response:
        return Response(status=200)

    @app.get("/readyz")
    def readyz() -> Response:
        missing = ", ".join(f"{kind.kind} {kind.api_version}" for kind in unlisted())
        return Response(f"not listed yet: {missing}\n", 503) if missing else Response(status=200)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    return app
