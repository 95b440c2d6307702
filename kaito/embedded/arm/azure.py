"""Azure for a platform that has none: the emulator, its kubelets, and what points the function at them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kaito.embedded.arm.emulator import NO_FAULT, Arm
from kaito.embedded.arm.faults import seeded
from kaito.embedded.arm.kubelets import Kubelets
from kaito.embedded.arm.server import ArmServer
from kaito.runtime.kube import Kube
from presets import Catalogue

#: As config/overlays/arm names them.
SUBSCRIPTION, GROUP, CLUSTER = "00000000-0000-0000-0000-000000000000", "emulated", "emulated"
#: Seconds that operations take: Azure's minutes are seconds here.
CREATE_SECONDS: Final = 3.0
DELETE_SECONDS: Final = 1.0


class Azure:
    """One managed cluster, kept in ``directory``; it goes wrong at random where ``faults`` is a seed."""

    def __init__(self, directory: Path, faults: int | None = None) -> None:
        wrong = seeded(random.Random(faults)) if faults is not None else lambda _method, _name: NO_FAULT  # noqa: S311
        # The wall clock, so that what was under way goes on after a restart.
        arm = Arm(SUBSCRIPTION, GROUP, CLUSTER, time.time, create=CREATE_SECONDS, delete=DELETE_SECONDS, faults=wrong)
        self._server = ArmServer(arm, directory / "azure.json")
        self._kubelets: Kubelets | None = None

    def start(self, kube: Kube, catalogue: Catalogue) -> None:
        self._server.start()
        self._kubelets = Kubelets(kube, self._server.nodes, catalogue)
        self._kubelets.start()

    def stop(self) -> None:
        if self._kubelets is not None:
            self._kubelets.stop()
        self._server.stop()

    @property
    def environment(self) -> Mapping[str, str]:
        """What the provisioner needs to know of it beside the overlay's settings."""
        return self._server.environment

    def wire(self) -> list[str]:
        """What was written on it, a line each."""
        return self._server.wire()
