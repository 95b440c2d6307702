"""Container probes: what is asked (httpGet, tcpSocket, exec), how often, and when the answers count."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from kaito.api.resources import Object
from kaito.embedded.knative.pod import Container
from kaito.embedded.knative.revision import Revision

#: Seconds between looks until the first success. A cluster waits whole periods; a person before a terminal should not.
EAGER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Probe:
    """``check`` asks once; times are seconds, defaults are Kubernetes'."""

    check: Callable[[], bool]
    period: float
    initial_delay: float
    failure_threshold: int
    success_threshold: int


class Probing:
    """A probe's cadence and verdict: None until one of its thresholds is reached.

    ``eager`` asks every 0.2 s until the first success; a failure then counts for the part of a period it took.
    """

    def __init__(self, probe: Probe, begun: float, *, eager: bool) -> None:
        self.verdict: bool | None = None
        self.due = begun + probe.initial_delay
        self._probe, self._eager = probe, eager
        self._failures, self._successes = 0.0, 0

    def ask(self, now: Callable[[], float]) -> None:
        passed = self._probe.check()
        interval = min(EAGER, self._probe.period) if self._eager else self._probe.period
        if passed:
            self._failures, self._successes = 0.0, self._successes + 1
            if self._successes >= self._probe.success_threshold:
                self.verdict, self._eager = True, False
        else:
            self._failures, self._successes = self._failures + interval / self._probe.period, 0
            if round(self._failures, 6) >= self._probe.failure_threshold:
                self.verdict = False
        self.due = now() + interval


def probe_of(
    field: str, revision: Revision, container: Container, client: httpx.Client, local: Callable[[str], str]
) -> Probe | None:
    """The container's probe of that field name; readiness without one is a TCP connection to PORT, as in Knative."""
    spec = revision.container.get(field)
    if spec is None and field != "readinessProbe":
        return None
    spec = spec or {}
    timeout = float(spec.get("timeoutSeconds") or 1)
    return Probe(
        check=_check_of(spec, revision, container, client, local, timeout),
        period=float(spec.get("periodSeconds") or 10),
        initial_delay=float(spec.get("initialDelaySeconds") or 0),
        failure_threshold=int(spec.get("failureThreshold") or 3),
        success_threshold=int(spec.get("successThreshold") or 1),
    )


def _check_of(
    spec: Object,
    revision: Revision,
    container: Container,
    client: httpx.Client,
    local: Callable[[str], str],
    timeout: float,
) -> Callable[[], bool]:
    if "exec" in spec:
        argv = [local(part) for part in spec["exec"]["command"]]
        return lambda: _run(argv, container, timeout)
    action = spec.get("httpGet") or spec.get("tcpSocket") or {}
    host, port = action.get("host") or "127.0.0.1", _local_port(action.get("port"), revision, container)
    if "httpGet" not in spec:
        return lambda: _connect(host, port, timeout)
    url = f"{action.get('scheme', 'http').lower()}://{host}:{port}/{action.get('path', '/').lstrip('/')}"
    headers = {header["name"]: header["value"] for header in action.get("httpHeaders") or ()}
    return lambda: _get(client, url, headers, timeout)


def _local_port(port: object, revision: Revision, container: Container) -> int:
    """The container's declared port, by number, by name or left out, is PORT here; another one is meant as it is."""
    number = int(str(port)) if str(port).isdigit() else 0
    return container.port if number in (0, revision.container_port) else number


def _get(client: httpx.Client, url: str, headers: dict[str, str], timeout: float) -> bool:
    try:
        return 200 <= client.get(url, headers=headers, timeout=timeout).status_code < 400
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):  # the probe's own host and headers may be at fault
        return False


def _connect(host: str, port: int, timeout: float) -> bool:
    try:
        socket.create_connection((host, port), timeout).close()
    except (OSError, UnicodeError):  # no address, or a host that can be none
        return False
    return True


def _run(argv: list[str], container: Container, timeout: float) -> bool:
    try:
        done = subprocess.run(
            argv, env=dict(container.env), cwd=container.cwd, timeout=timeout, capture_output=True, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):  # ValueError: a NUL in a word
        return False
    return done.returncode == 0
