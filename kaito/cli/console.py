"""``kaito console``: a page to watch Workspaces, live or as they were recorded."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from werkzeug.serving import WSGIRequestHandler, make_server

from console.app import SLOW, create_app
from console.chat import Chats
from console.console import Console
from eventing.recordings.recording import RecordingError
from eventing.recordings.sources import Files, Source
from kaito.cli import recordings
from kaito.cli.clusters import platform
from kaito.cli.interrupts import sigterm_as_ctrl_c, until_ctrl_c
from kaito.embedded.recordings import FOLDER
from kaito.runtime.kube import Kube

_HOST: Final = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Who does not take what is sent is hung up on."""

    protocol_version = "HTTP/1.1"
    timeout = SLOW

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: what goes wrong is on the page."""


def run(recording: Sequence[str], kubeconfig: Path | None, port: int, directory: Path, workspace: str) -> None:
    """Until Ctrl-C; ``workspace`` is NAMESPACE/NAME of the one to begin with. Raises RecordingError and KubeError."""
    sigterm_as_ctrl_c()
    shown, what = opened(recording, kubeconfig, directory)
    with contextlib.suppress(KeyboardInterrupt), served(shown, port) as url:
        print(f"{url}{workspace and f'#{workspace}'} shows {what}, until Ctrl-C", flush=True)
        until_ctrl_c()


@contextlib.contextmanager
def served(shown: Console, port: int = 0) -> Iterator[str]:
    """Its URL, as long as it is served."""
    app = create_app(shown, Chats(inside=False))
    try:
        taken = socket.create_server((_HOST, port))
    except OSError as error:
        raise RecordingError(f"port {port} is taken: choose another --port, or none") from error
    with taken:
        url = f"http://{_HOST}:{taken.getsockname()[1]}/"
        server = make_server(_HOST, port, app, threaded=True, request_handler=_Handler, fd=taken.fileno())
    shown.start()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shown.stop()


def opened(named: Sequence[str], kubeconfig: Path | None, directory: Path) -> tuple[Console, str]:
    """And what it shows, in words. Raises RecordingError and KubeError."""
    if kubeconfig is not None:
        sources = recordings.sources(named, directory) if named else []
        return Console(sources, Kube.from_kubeconfig(kubeconfig)), f"the cluster of {kubeconfig}"
    if named:
        shown = Console(recordings.sources(named, directory))
        shown.look()  # what is no recording is said here, and not on the page
        return shown, f"what {', '.join(named)} has"
    folder = directory.resolve() / FOLDER
    mine: list[Source] = [Files([folder])]
    if (running := platform(directory)) is not None:
        return Console(mine, Kube.from_kubeconfig(running)), f"the platform in {directory}"
    if not folder.is_dir() or not any(folder.iterdir()):
        raise RecordingError(
            f"no platform runs in {directory}, and nothing is recorded there: start one with `kaito up`, or name a"
            " recording (-r) or a cluster (--kubeconfig)"
        )
    return Console(mine), f"what the platform in {directory} has recorded; it does not run now"
