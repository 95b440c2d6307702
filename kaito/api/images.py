"""How the images that hold weights and adapters come into a pod: mounted by the kubelet, or, where it cannot, pulled by
a container that goes first, as a plain user. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kaito.api.resources import Object
from kaito.api.workloads import DOCKER_CONFIG

#: Secrets of registries, a folder each.
REGISTRIES_MOUNT: Final = "/mnt/pull-secrets"


@dataclass(frozen=True, slots=True)
class Content:
    """An image, in a volume that is mounted at ``path``; what is pulled of it is its ``folder``, to ``target``."""

    name: str
    reference: str
    path: str
    folder: str
    target: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mounted:
    """What a pod has of some contents. ``secrets`` are the kubelet's."""

    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    pullers: tuple[Object, ...] = ()
    secrets: tuple[str, ...] = ()


def mounted(contents: Sequence[Content]) -> Mounted:
    """By image volumes."""
    return Mounted(
        tuple({"name": it.name, "image": {"reference": it.reference, "pullPolicy": "IfNotPresent"}} for it in contents),
        tuple(_mount(it.name, it.path) for it in contents),
        secrets=_secrets(contents),
    )


def pulled(contents: Sequence[Content], container: Object, home: Object) -> Mounted:
    """By containers that are otherwise as ``container``; ``home`` is where they may write."""
    secrets = _secrets(contents)
    numbers = {name: f"pull-secret-{number}" for number, name in enumerate(secrets)}
    return Mounted(
        (
            *({"name": it.name, "emptyDir": {}} for it in contents),
            *({"name": numbers[name], "secret": {"secretName": name}} for name in secrets),
        ),
        tuple(_mount(it.name, it.path) for it in contents),
        tuple(
            {
                **container,
                "name": f"pull-{it.name}",
                "command": ["python", "-m", "oci.pull"],
                "args": [
                    it.reference,
                    it.target,
                    f"--folder={it.folder}",
                    *(f"--credentials={REGISTRIES_MOUNT}/{name}/{DOCKER_CONFIG}" for name in it.secrets),
                ],
                "volumeMounts": [{"name": it.name, "mountPath": it.path}, home, *_secret_mounts(it, numbers)],
            }
            for it in contents
        ),
    )


def _secrets(contents: Sequence[Content]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for it in contents for name in it.secrets))


def _secret_mounts(content: Content, numbers: dict[str, str]) -> Iterator[Object]:
    for name in content.secrets:
        yield _mount(numbers[name], f"{REGISTRIES_MOUNT}/{name}")


def _mount(name: str, path: str) -> Object:
    return {"name": name, "mountPath": path, "readOnly": True}
