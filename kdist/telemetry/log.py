"""Structured logs: one line per event, ``key=value`` pairs, request and object references from context.

Components log through :func:`get`; a supervisor sets :data:`context` once per request or reconcile and every
line below it carries the reference.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import time
from typing import Any

context: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("log_context", default={})  # noqa: B039 - replaced whole, never mutated


def _value(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text


class LineFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z INFO module message key=value ...``."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record; a traceback follows on its own lines."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        pairs = {**context.get(), **getattr(record, "pairs", {})}
        tail = "".join(f" {k}={_value(v)}" for k, v in pairs.items())
        line = (
            f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name} {record.getMessage()}{tail}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class Log:
    """A logger whose keyword arguments become ``key=value`` pairs."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, **pairs: Any) -> None:
        """Detail for a developer."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug(message, extra={"pairs": pairs})

    def info(self, message: str, **pairs: Any) -> None:
        """Something an operator may want to know."""
        self._logger.info(message, extra={"pairs": pairs})

    def warning(self, message: str, **pairs: Any) -> None:
        """Something that will need attention if it goes on."""
        self._logger.warning(message, extra={"pairs": pairs})

    def error(self, message: str, *, exc_info: bool = False, **pairs: Any) -> None:
        """Something that failed; ``exc_info`` adds the traceback of the exception being handled."""
        self._logger.error(message, exc_info=exc_info, extra={"pairs": pairs})


def get(name: str) -> Log:
    """The structured logger of a module: ``log = telemetry.log.get(__name__)``."""
    return Log(name)


def setup(level: str = "info") -> None:
    """Send every logger of the process to standard error in the one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
