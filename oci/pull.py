"""``python -m oci.pull IMAGE TARGET``: a folder of an image, by default ``/data``, into a directory.

It is there whole or not at all. Progress is told in JSON, a line every few seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from oci import LAST_WORDS, RECORD
from oci.access import RegistryError
from oci.layers import LayerError, Unpacked, discard
from oci.progress import Progress, in_json
from oci.registry import Repository

#: Goes when all is there.
_WORK: Final = ".pull-"
_log = structlog.get_logger()


class PullError(Exception):
    """The message is a sentence that says what cannot be had, why, and what to look at."""


def pull(
    reference: str, folder: str, target: Path, credentials: Sequence[Path] = (), *, plain_http: bool = False
) -> str:
    """``folder`` of the image into ``target``, which is not there yet, or is empty. The digest of its manifest.

    Raises PullError.
    """
    _clear(target)
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        repository = Repository(reference, credentials, plain_http=plain_http)
        manifest = repository.manifest()
        progress = Progress("pull.progress", reference, sum(layer.size for layer in manifest.layers))
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=target) as work:
            made = Path(work) / "made"
            made.mkdir()
            unpacked = Unpacked(folder, made)
            for number, layer in enumerate(manifest.layers):
                file = Path(work) / str(number)
                repository.fetch(layer, file, progress.add)
                unpacked.add(file, layer.title)
                file.unlink()
            if not unpacked.files:
                tops = ", ".join(sorted(unpacked.tops)) or "nothing"
                raise PullError(f"{reference} has no files in /{folder.strip('/')}; at its top it has {tops}.")
            seconds = round(time.monotonic() - began, 3)
            said = {"image": reference, "digest": manifest.digest, "bytes": progress.done, "seconds": seconds}
            (made / RECORD).write_text(json.dumps(said))
            for path in made.iterdir():
                path.rename(target / path.name)
    except (RegistryError, LayerError, OSError) as error:
        raise PullError(f"{reference} cannot be pulled: {error}") from error
    _log.info("pull.done", files=unpacked.files, **said)
    return manifest.digest


def _clear(target: Path) -> None:
    """Of what a pull has left that was killed; raises PullError for anything else."""
    found = list(target.iterdir()) if target.is_dir() else []
    if found and not any(path.name.startswith(_WORK) for path in found):
        raise PullError(f"{target} is not empty: an image is unpacked into a directory of its own.")
    for path in found:
        discard(path)


def main(arguments: list[str] | None = None) -> None:
    """Exits with a line on stderr where it cannot be had, which kubelet keeps as the container's last words."""
    parser = argparse.ArgumentParser(prog="oci.pull", description="A folder of an image, into a directory.")
    parser.add_argument("image", help="HOST[:PORT]/NAME[:TAG][@DIGEST]")
    parser.add_argument("target", type=Path)
    parser.add_argument("--folder", default="data", help="which, in the image")
    parser.add_argument("--credentials", type=Path, action="append", default=[], help="a .dockerconfigjson, repeatable")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    flags = parser.parse_args(arguments)
    in_json()
    try:
        pull(flags.image, flags.folder, flags.target, flags.credentials, plain_http=flags.plain_http)
    except PullError as error:
        if os.access(LAST_WORDS, os.W_OK):
            LAST_WORDS.write_text(str(error))
        sys.exit(f"oci.pull: {error}")


if __name__ == "__main__":
    main()
