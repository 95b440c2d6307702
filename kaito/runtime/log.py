"""Structured logs: one JSON line a fact, one line a reconcile."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

import structlog


def configure(file: TextIO = sys.stdout) -> None:
    """Set up once per process, to ``file``; ``KAITO_LOG_LEVEL`` (default INFO) says how much."""
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
        logger_factory=structlog.PrintLoggerFactory(file),
    )
