"""The log of the tuning Job's containers: JSON lines, the latest of all being what a pod's log ends with."""

from __future__ import annotations

import logging

import structlog


def configure(*, quiet: bool = False) -> None:
    """``quiet``: of one of several processes, another of which tells how it goes."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR if quiet else logging.NOTSET),
    )
