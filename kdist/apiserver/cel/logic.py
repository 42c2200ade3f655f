"""Evaluation of operators that do not need all their operands, and of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.costs import CostOf
from kdist.apiserver.cel.costs import equality as equality_cost
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.run import Run
from kdist.apiserver.cel.values import equal

Evaluate = Callable[[Run], Any]
_SCALARS = frozenset({bool, int, float, type(None)})
_COMPARED = 16  # elements that are copied in the time it takes to compare one


def conjunction(terms: list[Evaluate]) -> Evaluate:
    """``&&``: false if any term is, even if another one fails."""
    return _short_circuit(terms, False)


def disjunction(terms: list[Evaluate]) -> Evaluate:
    """``||``: true if any term is, even if another one fails."""
    return _short_circuit(terms, True)


def _short_circuit(terms: list[Evaluate], decisive: bool) -> Evaluate:
    otherwise = not decisive

    def evaluate(run: Run) -> bool:
        failed: EvaluationError | None = None
        for term in terms:
            try:
                value = term(run)
            except EvaluationError as error:
                failed = failed or error
                continue
            if value is decisive:
                return bool(value)
            if value is not otherwise:
                failed = failed or no_such_overload()
        if failed is not None:
            raise failed
        return otherwise

    return evaluate


def conditional(condition: Evaluate, then: Evaluate, otherwise: Evaluate) -> Evaluate:
    """``condition ? then : otherwise``."""

    def evaluate(run: Run) -> Any:
        value = condition(run)
        if value is True:
            return then(run)
        if value is False:
            return otherwise(run)
        raise no_such_overload()

    return evaluate


def not_strictly_false(operand: Evaluate) -> Evaluate:
    """Whether a fold goes on: an error so far does not end it."""

    def evaluate(run: Run) -> bool:
        try:
            value = operand(run)
        except EvaluationError:
            value = True
        run.cost += 1
        return value is not False

    return evaluate


def equality(one: Evaluate, other: Evaluate, *, wanted: bool) -> Evaluate:
    """``==`` and ``!=``."""

    def evaluate(run: Run) -> bool:
        left, right = one(run), other(run)
        if type(left) in _SCALARS and type(right) in _SCALARS:
            run.cost += 1
        else:
            run.charge(equality_cost(left, right))
            run.copied(_elements(left, right) * _COMPARED)
        return equal(left, right) is wanted

    return evaluate


def _elements(one: Any, other: Any) -> int:
    """What a comparison goes through: nothing when the values differ at first sight."""
    if (
        not isinstance(one, list | dict)
        or one is other
        or type(one) is not type(other)
        or len(one) != len(other)
    ):
        return 0
    waiting, count = [one], 0
    while waiting:
        value = waiting.pop()
        parts = value.values() if isinstance(value, dict) else value
        count += len(parts)
        waiting.extend(part for part in parts if isinstance(part, list | dict))
    return count


def call(function: Callable[..., Any], args: list[Evaluate], cost: CostOf | None) -> Evaluate:
    """A call of a function of the library."""
    if cost is not None:
        return _costly_call(function, args, cost)
    if len(args) == 1:
        only = args[0]

        def unary(run: Run) -> Any:
            value = only(run)
            run.cost += 1
            return function(value)

        return unary
    if len(args) == 2:
        first, second = args

        def binary(run: Run) -> Any:
            left, right = first(run), second(run)
            run.cost += 1
            if type(left) is list and type(right) is list:
                run.copied(len(left) + len(right))
            return function(left, right)

        return binary

    def variadic(run: Run) -> Any:
        given = [arg(run) for arg in args]
        run.cost += 1
        return function(*given)

    return variadic


def _costly_call(function: Callable[..., Any], args: list[Evaluate], cost: CostOf) -> Evaluate:
    def evaluate(run: Run) -> Any:
        given = tuple(arg(run) for arg in args)
        result = function(*given)
        run.charge(cost(given, result))
        return result

    return evaluate
