"""The content of volume images: models from this machine's store, others pulled from their registry, once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kaito.embedded.knative.host import ImageError
from kaito.embedded.models import ModelStore


class ImageStore:
    """What is pulled is kept in ``directory``, by its digest."""

    def __init__(self, models: ModelStore, directory: Path) -> None:
        self._models, self._directory = models, directory

    def missing(self, image: str) -> str | None:
        """Why it cannot be had here, whatever is tried; None for what is here, or names a registry."""
        return None if _names_registry(image) or self._models.resolve(image) else self._models.missing(image)

    def content(self, image: str, credentials: Sequence[bytes]) -> Path:
        """The directory with all its files. What its tag means is asked each time. Raises ImageError."""
        if (found := self._models.resolve(image)) is not None:
            return found
        from oci.access import RegistryError
        from oci.pull import PullError, pull  # for whom has images to pull
        from oci.registry import Repository

        with tempfile.TemporaryDirectory(prefix="kaito-pull-") as work:
            secrets = []
            for number, content in enumerate(credentials):
                secrets.append(Path(work) / str(number))
                secrets[-1].touch(mode=0o600)
                secrets[-1].write_bytes(content)
            try:
                digest = Repository(image, secrets).manifest().digest
                kept = self._directory / digest.replace(":", "-")
                if not kept.is_dir():
                    self._directory.mkdir(parents=True, exist_ok=True)
                    with tempfile.TemporaryDirectory(prefix=".new-", dir=self._directory) as new:
                        made = Path(new) / "content"
                        pull(f"{image.partition('@')[0]}@{digest}", "/", made, secrets)
                        try:
                            made.rename(kept)
                        except OSError:
                            if not kept.is_dir():  # another one was faster
                                raise
            except (RegistryError, PullError) as error:
                raise ImageError(str(error)) from error
            except OSError as error:
                raise ImageError(f"{image} cannot be kept: {error}") from error
        return kept


def _names_registry(image: str) -> bool:
    """As images are named: what stands before the first slash is a host where a name could not be so."""
    first, slash, _ = image.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)
