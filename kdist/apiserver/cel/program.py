"""A compiled expression and its evaluation under a cost limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.apiserver.cel.ast import Ast, Ident
from kdist.apiserver.cel.errors import CostExceeded, EvaluationError, Postponed
from kdist.apiserver.cel.literals import walk
from kdist.apiserver.cel.run import MISSING, Run

# upstream's: one evaluation, all evaluations for an object, all match conditions of a hook or a binding
PER_CALL_LIMIT = 1_000_000
BUDGET = 10_000_000
MATCH_CONDITIONS_BUDGET = BUDGET // 4


@dataclass(slots=True)
class Budget:
    """What the evaluations for one object may cost together.

    With ``inline``, no more than that is spent before :class:`Postponed`: the caller holds up other requests.
    """

    left: int = BUDGET
    inline: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How to evaluate: a function of a run, and what the run's places are for."""

    evaluate: Callable[[Run], Any]
    variables: tuple[str, ...]
    places: int


class Program:
    """``result_type`` is the deduced type as messages tell it: ``bool``, ``string``, ``list(int)``, ``dyn``."""

    __slots__ = ("_plan", "ast", "expression", "result_type")

    def __init__(self, expression: str, ast: Ast, plan: Plan, result_type: str) -> None:
        self.expression, self.ast, self.result_type = expression, ast, result_type
        self._plan = plan

    def uses(self, variable: str) -> bool:
        """Whether the expression mentions a variable, as transition rules do ``oldSelf``."""
        return any(isinstance(node, Ident) and node.name == variable for node in walk(self.ast.root))

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The expression's value. EvaluationError, CostExceeded past the limit or the rest of the budget, Postponed.

        ``bindings`` are CEL values (``types.bind`` makes them of JSON for declared types).
        """
        value, _ = self.measure(bindings, budget)
        return value

    def measure(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> tuple[Any, int]:
        """The value and what it cost."""
        plan = self._plan
        slots = [bindings.get(name, MISSING) for name in plan.variables]
        slots.extend([None] * (plan.places - len(slots)))
        limit = PER_CALL_LIMIT if budget is None else min(PER_CALL_LIMIT, budget.left)
        here = limit if budget is None or not budget.inline else min(limit, budget.inline)
        run = Run(slots, here)
        try:
            value = plan.evaluate(run)
        except CostExceeded as error:
            if here < limit:
                raise Postponed from error
            raise
        except RecursionError as error:
            raise EvaluationError("the expression is nested too deeply") from error
        finally:
            if budget is not None:
                budget.left -= run.cost
        if run.cost > limit:
            raise CostExceeded
        if budget is not None and budget.inline:
            budget.inline = max(budget.inline - run.cost, 1)
        return value, run.cost
