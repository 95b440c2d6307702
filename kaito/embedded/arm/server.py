"""The emulator on loopback, with the metadata service that gives the function a token for it."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response as HttpResponse

from kaito.api.resources import Object
from kaito.embedded.arm.emulator import Arm, Request, Response, to_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_METADATA: Final = "/metadata/identity/oauth2/token"
_TOKEN_SECONDS: Final = 24 * 3600


class ArmServer:
    """From ``start`` to ``stop``; ``file`` keeps what it knows from one run to the next."""

    def __init__(self, arm: Arm, file: Path) -> None:
        self._arm, self._file = arm, file
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(16)
        if file.exists():
            arm.load(json.loads(file.read_text()))
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="azure", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What has a function use it: as its resource manager, and as its machine's metadata service."""
        return {"ARM_ENDPOINT": self.url, "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._save()

    def nodes(self) -> list[Object]:
        """The Nodes that kubelets of its pools would have registered by now."""
        with self._lock:
            return self._arm.nodes()

    def wire(self) -> list[str]:
        """The writes that it was asked for and their answers, a line each."""
        with self._lock:
            return [_line(request, answer) for request, answer in self._arm.log if request.method != "GET"]

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        http = HttpRequest(environ)
        answer = self._metadata(http) if http.path == _METADATA else self._answer(http)
        content = {"Content-Type": "application/json"} if answer.body is not None else {}
        return HttpResponse(to_json(answer), answer.status, {**content, **answer.headers})(environ, start_response)

    def _metadata(self, http: HttpRequest) -> Response:
        if http.headers.get("Metadata") != "true":
            return Response(400, {"error": "invalid_request"})
        resource = http.args.get("resource", "")
        token = {"access_token": self._token, "expires_in": str(_TOKEN_SECONDS), "token_type": "Bearer"}
        return Response(200, {**token, "resource": resource})

    def _answer(self, http: HttpRequest) -> Response:
        if http.headers.get("Authorization") != f"Bearer {self._token}":
            return Response(401, {"error": {"code": "InvalidAuthenticationToken", "message": "whose token is this?"}})
        headers = {name.lower(): value for name, value in http.headers.items()}
        body = http.get_json() if http.content_length else None
        with self._lock:
            answer = self._arm.handle(Request(http.method, http.url, headers, body))
            if http.method != "GET":
                self._save()
        return answer

    def _save(self) -> None:
        self._file.write_text(json.dumps(self._arm.dump()))


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: ``wire`` has the requests."""


def _line(request: Request, answer: Response) -> str:
    path = request.url.partition("/agentPools/")[2].partition("?")[0]
    size = ((request.body or {}).get("properties") or {}).get("vmSize", "")
    conditions = [
        f"{name}: {value}" for name, value in request.headers.items() if name in ("if-match", "if-none-match")
    ]
    return " ".join(filter(None, (request.method, f"agentPools/{path}", size, *conditions, f"-> {answer.status}")))
