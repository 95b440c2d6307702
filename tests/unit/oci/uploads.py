"""A registry for tests that takes uploads, and refuses, loses or breaks off what it is told to."""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.images import digest

USER: Final = "kaito:secret"
#: Status, headers and body.
Answer = tuple[int, dict[str, str], bytes]


def errors(status: int, code: str, message: str) -> Answer:
    return status, {}, json.dumps({"errors": [{"code": code, "message": message}]}).encode()


class Scripted(ThreadingHTTPServer):
    """One repository, ``poems``.

    ``script`` has what is answered first to a request, by its method and the first word of its path behind the
    repository. ``breaks`` is how many uploads break off; ``elsewhere`` is the host that uploads are to go to.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.script: dict[str, list[Answer]] = {}
        self.breaks = 0
        self.tokens = False
        self.elsewhere = ""
        self.seen: list[str] = []
        self.authorized: list[str | None] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def _any(self) -> None:
        server, url = self.server, urlsplit(self.path)
        kind = url.path.removeprefix("/v2/poems/").strip("/").split("/")[0]
        asked = f"{self.command} {kind}"
        server.seen.append(asked)
        length = int(self.headers.get("Content-Length") or 0)
        if asked == "PUT blobs":
            server.authorized.append(self.headers.get("Authorization"))
            if server.breaks > 0:
                server.breaks -= 1
                self.rfile.read(length // 2)
                self.close_connection = True
                return
        body = self.rfile.read(length)
        if scripted := server.script.get(asked):
            self._say(*scripted.pop(0))
        elif url.path == "/token":
            known = self.headers.get("Authorization") == f"Basic {base64.b64encode(USER.encode()).decode()}"
            scope = parse_qs(url.query)["scope"][0].rpartition(":")[2]
            self._say(*((200, {}, json.dumps({"token": scope}).encode()) if known else errors(401, "UNKNOWN", "who?")))
        elif server.tokens and self.headers.get("Authorization") != f"Bearer {self._scope()}":
            realm = f'Bearer realm="http://{server.host}/token",service="it",scope="repository:poems:{self._scope()}"'
            self._say(401, {"WWW-Authenticate": realm}, errors(401, "UNAUTHORIZED", "authentication required")[2])
        else:
            self._say(*self._answer(asked, url.path.rpartition("/")[2], parse_qs(url.query), body))

    def do_GET(self) -> None:
        self._any()

    def do_HEAD(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_PUT(self) -> None:
        self._any()

    def _scope(self) -> str:
        return "pull" if self.command in ("GET", "HEAD") else "pull,push"

    def _answer(self, asked: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
        server = self.server
        if asked == "GET v2":
            return 200, {}, b"{}"
        if asked == "HEAD blobs":
            return 200 if name in server.blobs else 404, {}, b""
        if asked == "POST blobs":
            host = f"http://{server.elsewhere}" if server.elsewhere else ""
            return 202, {"Location": f"{host}/v2/poems/blobs/uploads/1?_state=hidden"}, b""
        if asked == "PUT blobs":
            assert query == {"_state": ["hidden"], "digest": [digest(body)]}
            server.blobs[digest(body)] = body
            return 201, {}, b""
        if asked == "PUT manifests":
            assert set(re.findall(r"sha256:\w+", body.decode())) == set(server.blobs)
            server.manifests |= {name: body, digest(body): body}
            return 201, {}, b""
        found = server.manifests.get(name)
        return 404 if found is None else 200, {}, found or b""

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""
