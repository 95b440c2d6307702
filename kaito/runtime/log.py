"""Structured logs: one JSON line a fact, one line a reconcile."""

from __future__ import annotations

import logging
import os

import structlog


def configure() -> None:
    """Set up once per process; ``KAITO_LOG_LEVEL`` (default INFO) says how much."""
    level = logging.getLevelNamesMapping()[os.environ.get("KAITO_LOG_LEVEL", "INFO").upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
