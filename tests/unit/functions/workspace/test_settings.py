"""Where model servers send their spans: a setting, and what becomes of it in their container."""

from __future__ import annotations

import pytest

from functions.workspace.settings import Settings
from kaito.api.resources import Object
from kaito.api.tracing import traceparent
from tests.unit.functions.workspace.matrix import SCENES, applied


def test_traces_are_off_unless_said() -> None:
    assert Settings.from_environment({}).traces == ""
    assert Settings.from_environment({"KAITO_TRACES": ""}) == Settings()


@pytest.mark.parametrize("given", ["collector:4318", "/traces", "file://traces", "grpc://collector"])
def test_what_is_no_place_for_traces_is_refused(given: str) -> None:
    with pytest.raises(
        ValueError, match=r"KAITO_TRACES is .*; it must be an OTLP endpoint, http://HOST:4318/v1/traces"
    ):
        Settings.from_environment({"KAITO_TRACES": given})


def variables(scene: str, traces: str) -> dict[str, str | None]:
    carrier: Object = applied(SCENES[scene], Settings(traces=traces))[0]
    (container,) = carrier["spec"]["template"]["spec"]["containers"]
    return {it["name"]: it.get("value") for it in container.get("env", ())}


@pytest.mark.parametrize("scene", ["preset-on-gpu", "gang-on-two-nodes"])
@pytest.mark.parametrize(
    ("traces", "name"),
    [
        ("file:///platform/traces", "KAITO_TRACES"),
        ("http://collector.traces:4318/v1/traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ],
)
def test_a_presets_server_is_told_where_to_and_whose_trace_it_is_in(scene: str, traces: str, name: str) -> None:
    parent = traceparent(SCENES[scene]["metadata"]["uid"])
    assert variables(scene, traces) == {**variables(scene, ""), name: traces, "TRACEPARENT": parent}


def test_somebodys_own_pods_are_as_they_are() -> None:
    assert variables("template", "file:///traces") == variables("template", "")
