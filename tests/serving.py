"""An HTTP server of a test's own, on loopback."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@contextlib.contextmanager
def serving(app: WSGIApplication, tls: tuple[str, str] | None = None, port: int = 0) -> Iterator[str]:
    """Its URL, without a slash at the end. ``tls``: the files of its certificate and key; ``port`` 0: a free one."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: tests say what is wrong."""
