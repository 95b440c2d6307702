"""``python -m eventing.source``: one ApiServerSource in a pod of any cluster, until SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import yaml
from werkzeug.serving import make_server

from eventing.manifest import ManifestError
from eventing.source import metrics
from eventing.source.adapter import Adapter
from eventing.source.health import create_app
from eventing.source.reflector import Reflector
from eventing.source.store import StoreError
from kaito.api.durations import seconds
from kaito.api.resources import API_SERVER_SOURCE, Kind
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.log import configure

_log: Final = structlog.get_logger()
_MEGABYTE: Final = 1 << 20


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and a line on stderr where it cannot run, or can no longer: whoever started it starts it again."""
    parser = argparse.ArgumentParser(
        prog="eventing.source", description="Send the changes that an ApiServerSource names to its sink, with a spool."
    )
    manifest = parser.add_mutually_exclusive_group(required=True)
    manifest.add_argument("--manifest", type=Path, help="file of the ApiServerSource")
    manifest.add_argument("--source", metavar="NAMESPACE/NAME", help="the ApiServerSource in the API server")
    parser.add_argument("--spool", type=Path, required=True, help="directory that outlives this process, for it alone")
    parser.add_argument(
        "--spool-megabytes", type=_positive, default=64, help="of deletes that wait; then the oldest go"
    )
    parser.add_argument("--resync-period", help="such as 10h: tell all that is known again, each time")
    flags = parser.parse_args(arguments)
    configure()
    try:
        resync = seconds(flags.resync_period) if flags.resync_period else None
        kube = Kube.from_environment()
        adapter = Adapter(
            _from_file(flags.manifest) if flags.manifest else _from_cluster(kube, flags.source),
            kube,
            flags.spool,
            most=flags.spool_megabytes * _MEGABYTE,
            resync=resync,
        )
    except (ManifestError, StoreError, KubeError, OSError, ValueError) as error:
        sys.exit(f"the source cannot run: {error}")
    _run(adapter)
    if adapter.failure is not None:
        sys.exit(f"the source has failed: {adapter.failure}")


def _run(adapter: Adapter) -> None:
    address = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104 - a pod's
    server = make_server(*address, create_app(adapter.unlisted), threaded=True)
    metrics.WAITING.set_function(adapter.spool.waiting)
    for reflector in adapter.reflectors:
        kind = reflector.kind
        metrics.VERSION.labels(kind.api_version, kind.kind).set_function(partial(_version, reflector))
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        adapter.start()
        _log.info("source started", port=server.server_port)
        adapter.wait()
    adapter.stop()
    server.shutdown()


def _version(reflector: Reflector) -> float:
    """A resourceVersion is a number, though nobody has to take it for one."""
    version = reflector.version or ""
    return float(version) if version.isdecimal() else math.nan


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _from_file(file: Path) -> Mapping[str, Any]:
    try:
        return _checked(yaml.safe_load(file.read_text()), str(file))
    except yaml.YAMLError as error:
        raise ManifestError(str(file), f"is no YAML: {error}") from error


def _from_cluster(kube: Kube, name: str) -> Mapping[str, Any]:
    namespace, _, name = name.partition("/")
    return _checked(kube.get(API_SERVER_SOURCE, name, namespace), f"--source {namespace}/{name}")


def _checked(manifest: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(manifest, dict) or not {"apiVersion", "kind", "metadata"} <= manifest.keys():
        raise ManifestError(where, "there is no ApiServerSource")
    if Kind.of(manifest) != API_SERVER_SOURCE or "name" not in manifest["metadata"]:
        raise ManifestError(where, f"must be an ApiServerSource of {API_SERVER_SOURCE.api_version} with a name")
    return manifest


if __name__ == "__main__":
    main()
