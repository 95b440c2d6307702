"""A function where it is deployed: with the API server, the Broker and the recorder that its environment names."""

from __future__ import annotations

import atexit
import os
from typing import TypeVar

from kaito.runtime.announcer import announcer
from kaito.runtime.kube import Kube
from kaito.runtime.log import configure
from kaito.runtime.reconciler import Function, Reconciler
from kaito.runtime.recording import sinks

Observed = TypeVar("Observed")


def hosted(function: Function[Observed]) -> Reconciler[Observed]:
    """It, to the end of this process, in which what is on its way to others still goes out. Raises ValueError for what
    the environment should not say."""
    configure()
    recorder = sinks.recorder(function.name, function.installation, os.environ)
    announces = announcer(os.environ)
    if recorder:
        atexit.register(recorder.close)
    if announces:
        atexit.register(announces.close)  # before the recorder, which is told what came of it
    return Reconciler(function, Kube.from_environment(), recorder=recorder, announcer=announces)
