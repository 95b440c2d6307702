"""``python -m oci.push FOLDER IMAGE``: the files of a folder as an image of one layer, which has them in ``/data``.

The same files have the same digest. Progress is told in JSON, a line every few seconds; the last words are JSON, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from oci import packing
from oci.access import Passing, RegistryError
from oci.packing import FolderError
from oci.progress import Progress, in_json
from oci.upload import Blob, Destination, again
from oci.words import last_words

#: What this exits with where another try would end the same.
REFUSED: Final = 65
_log = structlog.get_logger()


class PushError(Exception):
    """The message is a sentence that says what cannot be pushed, why, and what to look at."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


def push(
    folder: Path,
    reference: str,
    credentials: Sequence[Path] = (),
    annotations: Mapping[str, str] | None = None,
    *,
    plain_http: bool = False,
) -> str:
    """The files of ``folder`` as the image of that ``reference``. The digest of its manifest. Raises PushError."""
    began = time.monotonic()
    try:
        total = packing.size(folder)
        destination = again(partial(Destination, reference, credentials, plain_http=plain_http))
        with tempfile.TemporaryDirectory() as work:
            made = Path(work)
            packed = packing.pack(folder, made / "layer", Progress("push.packing", reference, total).add)
            config = packing.config(packed)
            (made / "config").write_bytes(config)
            progress = Progress("push.progress", reference, packed.size)
            layer, described = Blob(made / "layer", packed.digest), Blob(made / "config", packing.digest(config))
            again(partial(destination.put, layer, progress.at))
            again(partial(destination.put, described, lambda _: None))
            manifest = packing.manifest(packed, config, annotations or {})
            digest = again(partial(destination.tag, manifest, packing.MANIFEST))
    except (Passing, OSError) as error:
        raise PushError(f"{reference} cannot be pushed: {error}", permanent=False) from error
    except (RegistryError, FolderError) as error:
        raise PushError(f"{reference} cannot be pushed: {error}", permanent=True) from error
    seconds = round(time.monotonic() - began, 3)
    _log.info("push.done", image=reference, digest=digest, bytes=packed.size, sent=progress.done, seconds=seconds)
    return digest


def registry(words: argparse.ArgumentParser) -> None:
    """What every command about a registry to push to is told."""
    words.add_argument("image", help="HOST[:PORT]/NAME[:TAG]")
    words.add_argument("--credentials", type=Path, action="append", default=[], help="a .dockerconfigjson, repeatable")
    words.add_argument("--plain-http", action="store_true", help="the registry has no TLS")


def main(arguments: list[str] | None = None) -> None:
    """Exits with a line on stderr where it fails: with 65 where that is for good, with 1 where it may pass."""
    words = argparse.ArgumentParser(prog="oci.push", description="The files of a folder, as an image.")
    words.add_argument("folder", type=Path)
    registry(words)
    words.add_argument("--annotation", type=_pair, action="append", default=[], help="KEY=VALUE, repeatable")
    flags = words.parse_args(arguments)
    in_json()
    try:
        digest = push(flags.folder, flags.image, flags.credentials, dict(flags.annotation), plain_http=flags.plain_http)
    except PushError as error:
        reason = "PushRefused" if error.permanent else "PushFailed"
        last_words({"stage": "push", "reason": reason, "message": str(error)})
        sys.stderr.write(f"oci.push: {error}\n")
        sys.exit(REFUSED if error.permanent else 1)
    last_words({"digest": digest, "image": f"{flags.image}@{digest}"})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


if __name__ == "__main__":
    main()
