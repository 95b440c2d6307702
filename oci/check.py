"""``python -m oci.check IMAGE``: may it be pushed? Asked before what takes hours, by an upload that is given up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from oci.access import Passing, RegistryError
from oci.progress import in_json
from oci.push import REFUSED, registry
from oci.upload import Destination, again
from oci.words import last_words

_log = structlog.get_logger()


def check(reference: str, credentials: Sequence[Path] = (), *, plain_http: bool = False) -> None:
    """Raises RegistryError where it may not; Passing where the registry does not say."""
    destination = again(partial(Destination, reference, credentials, plain_http=plain_http))
    again(destination.check)


def main(arguments: list[str] | None = None) -> None:
    """Exits as ``oci.push`` does."""
    words = argparse.ArgumentParser(prog="oci.check", description="May an image be pushed?")
    registry(words)
    flags = words.parse_args(arguments)
    in_json()
    try:
        check(flags.image, flags.credentials, plain_http=flags.plain_http)
    except RegistryError as error:
        passing = isinstance(error, Passing)
        reason, message = "PushFailed" if passing else "PushRefused", f"{flags.image} could not be pushed: {error}"
        last_words({"stage": "check", "reason": reason, "message": message})
        sys.stderr.write(f"oci.check: {message}\n")
        sys.exit(1 if passing else REFUSED)
    _log.info("check.done", image=flags.image)


if __name__ == "__main__":
    main()
