"""How far a tuning has come: on a terminal a bar, in a pod JSON lines; and for whoever asks, ``GET /progress``."""

from __future__ import annotations

import atexit
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState

_log = structlog.get_logger()
_DIGITS: Final = 4
_LOSSES: Final = ("loss", "eval_loss")


@dataclass(frozen=True, slots=True)
class Reached:
    """``step`` of ``steps`` is done, in ``seconds``; so many are ``remaining`` at this pace, None before the first.
    Losses are the latest that were logged, None where one is no number."""

    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    eval_loss: float | None = None
    seconds: float = 0.0
    remaining: float | None = None
    tokens_per_second: float | None = None


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks have no types
    """Keeps what is reached, and tells it."""

    def __init__(
        self, tokens: int, tell: Callable[[Reached], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``tokens`` are those of one epoch."""
        self.reached = Reached()
        self._tokens, self._tell, self._clock = tokens, tell, clock
        self._began, self._from, self._epoch = 0.0, 0, 0.0

    def on_train_begin(self, _: object, state: TrainerState, *__: Any, **___: Any) -> None:
        self._began, self._from, self._epoch = self._clock(), state.global_step, state.epoch or 0.0
        for logs in state.log_history:  # of the checkpoint from which it goes on
            self._hear(logs)
        self._reach(state)

    def on_step_end(self, _: object, state: TrainerState, *__: Any, **___: Any) -> None:
        self._reach(state)

    def on_log(
        self,
        _: object,
        __: object,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **___: Any,
    ) -> None:
        losses = self._hear(logs or {})
        if losses:
            self._tell(self.reached)
        if None in losses.values():
            control.should_training_stop = True  # no step makes a number of it again

    def _hear(self, logs: Mapping[str, float]) -> dict[str, Any]:
        losses: dict[str, Any] = {name: _finite(logs[name]) for name in _LOSSES if name in logs}
        self.reached = replace(self.reached, **losses)
        return losses

    def _reach(self, state: TrainerState) -> None:
        seconds, done = self._clock() - self._began, state.global_step - self._from
        left = state.max_steps - state.global_step
        self.reached = replace(
            self.reached,
            step=state.global_step,
            steps=state.max_steps,
            epoch=round(state.epoch or 0.0, _DIGITS),
            seconds=round(seconds, 1),
            remaining=round(seconds / done * left, 1) if done else None,
            tokens_per_second=round(self._tokens * ((state.epoch or 0.0) - self._epoch) / seconds, 1)
            if done and seconds
            else None,
        )
        self._tell(self.reached)


def teller(console: Console) -> Callable[[Reached], None]:
    """A bar on a terminal, else a line a log of the trainer's."""
    if not console.is_terminal:
        return _lines()
    bar = Progress(
        TextColumn("tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("tuning", loss="-", total=None)
    bar.start()
    atexit.register(bar.stop)  # or a tuning that fails would leave the terminal without its cursor

    def tell(reached: Reached) -> None:
        loss = "-" if reached.loss is None else f"{reached.loss:.3f}"
        bar.update(task, completed=reached.step, total=reached.steps, loss=loss)
        if reached.step >= reached.steps:
            bar.stop()

    return tell


def _lines() -> Callable[[Reached], None]:
    said: tuple[float | None, float | None] = None, None

    def tell(reached: Reached) -> None:
        nonlocal said
        losses = reached.loss, reached.eval_loss
        if reached.loss is not None and losses != said:
            said = losses
            _log.info("training.progress", **asdict(reached))

    return tell


def serve(address: tuple[str, int], reached: Callable[[], Reached]) -> ThreadingHTTPServer:
    """Answer ``GET /progress`` in the background until the process ends, with ``reached`` as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"stage": "train", **asdict(reached())}).encode()
            known = self.path == "/progress"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if known else 0))
            self.end_headers()
            if known:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads of each question."""

    server = ThreadingHTTPServer(address, Handler)
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server


def _finite(loss: float) -> float | None:
    """JSON knows no NaN."""
    return round(loss, _DIGITS) if math.isfinite(loss) else None
