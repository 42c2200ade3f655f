"""What can go wrong with an expression: when it is compiled and when it is evaluated."""

from __future__ import annotations


class CelError(Exception):
    """Base of the tree. ``str(error)`` is what upstream reports in its place."""


class CompileError(CelError):
    """The expression does not parse, or does not fit the declared types."""


class EvaluationError(CelError):
    """The evaluation has no result: a missing key, a failing function, no overload for the values."""


class CostExceeded(CelError):
    """The evaluation was stopped: it cost more than it may. Not absorbed by ``||`` and ``&&``."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class Postponed(Exception):
    """The evaluation takes longer than may be taken here: it is for a thread of its own. Nobody absorbs this."""


def no_such_overload() -> EvaluationError:
    """A function does not take such values."""
    return EvaluationError("no such overload")
