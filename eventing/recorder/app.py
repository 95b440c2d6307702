"""The HTTP shell of the recorder: CloudEvents in, recordings out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import RequestEntityTooLarge

from eventing.recorder import reading
from eventing.recorder.entry import NotARecord, entry_of
from eventing.recorder.store import Incomplete, Store
from eventing.recordings.part import CURSOR, Part
from kaito.runtime.events import BadEvent, parse_all

#: Bytes of a request.
MOST: Final = 32 << 20
log = structlog.get_logger()


def create_app(engine: Engine, store: Store) -> Flask:
    """The WSGI app: ``POST /`` takes records, one or a batch; all of them are on disk when it answers 204, and none
    otherwise. ``GET /records`` has those that are asked for, a line each; ``GET /healthz`` says that it can."""
    app = Flask("kaito-recorder")
    app.config["MAX_CONTENT_LENGTH"] = MOST

    @app.get("/healthz")
    def healthz() -> Response:
        return Response(status=200)

    @app.post("/")
    def take() -> Response:
        try:
            entries = [entry_of(event) for event in parse_all(dict(request.headers), request.get_data())]
            store.put(entries, datetime.now(UTC))
        except RequestEntityTooLarge:
            return _refused(413, f"more than {MOST} bytes: send fewer records at once")
        except (BadEvent, NotARecord) as error:
            return _refused(400, str(error))
        except Incomplete as error:
            return _refused(424, str(error))
        except DBAPIError as error:
            return _refused(503, f"the database: {error.orig}")
        return Response(status=204)

    @app.get("/records")
    def read() -> Response:
        try:
            found = reading.read(engine, Part.model_validate(request.args.to_dict()))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
            return _refused(400, f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}")
        except DBAPIError as error:
            return _refused(503, f"the database: {error.orig}")
        return Response(found.lines, mimetype="application/x-ndjson", headers={CURSOR: str(found.cursor)})

    return app


def _refused(status: int, reason: str) -> Response:
    log.warning("refused", status=status, reason=reason)
    return Response(f"{reason}\n", status=status, mimetype="text/plain")
