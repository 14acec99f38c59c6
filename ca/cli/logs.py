# SPDX-License-Identifier: Apache-2.0
"""Log lines on standard error: one JSON object each, or coloured text for people.

Libraries are heard from warnings on, whatever the level: what they say below that may hold requests and values. A
traceback in a log line names code and messages, never the values of variables.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import Processor

    from ca.config.model import Log


def configure(settings: Log) -> None:
    """Have structlog and the standard library log as `settings` say."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*before, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Leave a line with the traceback in the log when the service ends by a fault of its own."""
    try:
        yield
    except Exception as error:
        from ca.cli.exits import Exit, explain

        if explain(error)[0] is Exit.INTERNAL:
            structlog.get_logger("attestca").critical("crashed", exc_info=True)
        raise
