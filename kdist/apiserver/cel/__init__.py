"""Kubernetes' dialect of the Common Expression Language: compile, check and evaluate expressions over JSON objects.

``Environment`` (what expressions may name) compiles a text to a ``Program``; ``types`` describes variables and makes
values of JSON for them; ``Budget`` bounds what the expressions for one object may cost together; ``estimate`` tells
before any evaluation what a program may cost at most.
"""

from kdist.apiserver.cel.environment import Environment
from kdist.apiserver.cel.errors import CelError, CompileError, CostExceeded, EvaluationError, Postponed
from kdist.apiserver.cel.program import BUDGET, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT, Budget, Program

__all__ = [
    "BUDGET",
    "MATCH_CONDITIONS_BUDGET",
    "PER_CALL_LIMIT",
    "Budget",
    "CelError",
    "CompileError",
    "CostExceeded",
    "Environment",
    "EvaluationError",
    "Postponed",
    "Program",
]
