"""Match conditions: whether a webhook or a policy concerns a request at all.

One that is false decides, even if another one fails; one that fails is the failure policy's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdist.apiserver.admission.expressions import declared
from kdist.apiserver.cel import (
    MATCH_CONDITIONS_BUDGET,
    Budget,
    CelError,
    CompileError,
    Environment,
    EvaluationError,
    Program,
)
from kdist.apiserver.ports import Obj

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


# What may be spent while other requests wait: about a tenth of a second. Policies that ask the authorizer are
# evaluated at once whatever they cost, as what they ask is not for threads.
INLINE_COST = 100_000


class ConditionError(Exception):
    """It cannot be told whether the conditions hold."""


class OutOfBudget(Exception):
    """The expressions for one object cost more than they may together; nothing is evaluated any more."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression with its program, or with what is wrong with it."""

    expression: str
    program: Program | CompileError

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget) -> Any:
        """The value. EvaluationError as it is told to users, OutOfBudget."""
        if isinstance(self.program, CompileError):
            raise EvaluationError(f"compilation error: {self.program}")
        try:
            return self.program.evaluate(bindings, budget)
        except CelError as error:
            if budget.left < 0:
                raise OutOfBudget from error
            raise EvaluationError(f"expression '{self.expression}' resulted in error: {error}") from error


def compiled(environment: Environment, expression: str, *results: str) -> Compiled:
    """An expression, which has to give one of some types."""
    try:
        program = environment.compile(expression)
        check_result(program, *results)
    except CompileError as error:
        return Compiled(expression, error)
    return Compiled(expression, program)


def check_result(program: Program, *results: str) -> None:
    """CompileError when the expression cannot give one of the types (anything goes when none is named)."""
    if not results or program.result_type in results:
        return
    wanted = f"{results[0]}" if len(results) == 1 else f"one of [{' '.join(results)}]"
    raise CompileError(f"must evaluate to {wanted} but got {program.result_type}")


def asks_authorizer(*expressions: Compiled | None) -> bool:
    """Whether an expression names the authorizer."""
    programs = [expression.program for expression in expressions if expression is not None]
    return any(
        isinstance(program, Program) and any(program.uses(name) for name in _AUTHORIZER)
        for program in programs
    )


_AUTHORIZER = ("authorizer", "authorizer.requestResource")


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one hook or policy."""

    conditions: tuple[Compiled, ...]

    def hold(self, bindings: Mapping[str, Any], *, inline: int = 0) -> bool:
        """Whether all are true. ConditionError when none is false but some cannot be told; Postponed."""
        budget, failures = Budget(MATCH_CONDITIONS_BUDGET, inline), []
        for condition in self.conditions:
            try:
                if condition.evaluate(bindings, budget) is False:
                    return False
            except OutOfBudget as error:
                raise ConditionError(str(error)) from error
            except EvaluationError as error:
                failures.append(str(error))
        if failures:
            raise ConditionError(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
        return True


NO_CONDITIONS = Conditions(())


def parse(conditions: Sequence[Obj], *, params: bool = False) -> Conditions:
    """Compile the matchConditions of an object."""
    if not conditions:
        return NO_CONDITIONS
    environment = declared.environment(params=params, authorizer=True)
    return Conditions(tuple(compiled(environment, c["expression"], "bool") for c in conditions))
