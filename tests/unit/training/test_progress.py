"""How far a tuning has come, as a pod, a terminal and HTTP tell it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from structlog.testing import capture_logs
from transformers import TrainerControl, TrainerState
from urllib3 import PoolManager

from training.progress import Reached, Reporter, serve, teller


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def step(reporter: Reporter, number: int, of: int = 10, **more: Any) -> None:
    reporter.on_step_end(None, TrainerState(global_step=number, max_steps=of, epoch=number / 5, **more))


def log(reporter: Reporter, **losses: float) -> TrainerControl:
    control = TrainerControl()
    reporter.on_log(None, TrainerState(), control, logs=losses)
    return control


def test_remaining_time_is_by_the_pace_so_far() -> None:
    clock, told = Clock(), list[Reached]()
    reporter = Reporter(100, told.append, clock)
    reporter.on_train_begin(None, TrainerState(max_steps=10))
    assert (told[-1].step, told[-1].steps, told[-1].remaining, told[-1].tokens_per_second) == (0, 10, None, None)
    clock.now += 4
    step(reporter, 2)
    assert told[-1] == Reached(step=2, steps=10, epoch=0.4, seconds=4, remaining=16, tokens_per_second=10)
    clock.now += 2
    step(reporter, 10)
    assert (told[-1].seconds, told[-1].remaining) == (6, 0)


def test_a_pace_is_of_the_steps_since_it_was_resumed() -> None:
    clock = Clock()
    reporter = Reporter(100, lambda _: None, clock)
    history = [{"loss": 3.0}, {"eval_loss": 2.5}, {"loss": 2.0}]
    reporter.on_train_begin(None, TrainerState(global_step=5, max_steps=10, epoch=1.0, log_history=history))
    assert (reporter.reached.step, reporter.reached.loss, reporter.reached.eval_loss) == (5, 2.0, 2.5)
    clock.now += 3
    step(reporter, 6)
    assert (reporter.reached.remaining, reporter.reached.tokens_per_second) == (12, 6.7)


def test_a_loss_that_is_no_number_ends_it_and_is_told_as_none() -> None:
    reporter = Reporter(100, lambda _: None, Clock())
    assert not log(reporter, loss=1.23456).should_training_stop
    assert reporter.reached.loss == 1.2346
    for none in (float("nan"), float("inf")):
        assert log(reporter, loss=none).should_training_stop
        assert reporter.reached.loss is None


def test_a_pod_says_a_line_a_loss() -> None:
    with capture_logs() as logs:
        reporter = Reporter(100, teller(Console(file=io.StringIO())), Clock())
        reporter.on_train_begin(None, TrainerState(max_steps=10))
        step(reporter, 1)
        log(reporter, loss=2.0)
        step(reporter, 2)
        log(reporter, loss=float("nan"))
        log(reporter, loss=1.0)
        log(reporter, eval_loss=3.0)
    said = [(line["event"], line["step"], line["loss"], line["eval_loss"]) for line in logs]
    assert said == [
        ("training.progress", 1, 2.0, None),
        ("training.progress", 2, 1.0, None),
        ("training.progress", 2, 1.0, 3.0),
    ]


def test_a_terminal_has_a_bar() -> None:
    out = io.StringIO()
    with capture_logs() as logs:
        tell = teller(Console(file=out, force_terminal=True, width=100))
        tell(Reached(step=1, steps=3))
        tell(Reached(step=3, steps=3, loss=0.5))
    assert "tuning" in out.getvalue()
    assert "3/3" in out.getvalue()
    assert "loss 0.500" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is back"
    assert logs == []


@pytest.mark.parametrize("loss", [1.5, float("nan")])
def test_progress_is_asked_for_by_http(loss: float) -> None:
    reporter = Reporter(100, lambda _: None, Clock())
    server = serve(("127.0.0.1", 0), lambda: reporter.reached)
    try:
        log(reporter, loss=loss)
        step(reporter, 4)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with PoolManager() as pool:
            found = pool.request("GET", f"{url}/progress")
            assert pool.request("GET", f"{url}/other").status == 404
    finally:
        server.shutdown()
        server.server_close()
    assert found.headers["Content-Type"] == "application/json"
    assert b"NaN" not in found.data
    said = json.loads(found.data)
    assert (said["stage"], said["step"], said["steps"]) == ("train", 4, 10)
    assert said["loss"] == (1.5 if loss == 1.5 else None)
