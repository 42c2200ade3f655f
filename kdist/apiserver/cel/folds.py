"""Evaluation of what macros come to: ``all``, ``exists``, ``map``, ``filter`` and the others.

Every round is charged before it runs, so that a fold ends at the cost limit at the latest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kdist.apiserver.cel import costs
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.logic import Evaluate
from kdist.apiserver.cel.run import Run
from kdist.apiserver.cel.values import Lazy


@dataclass(frozen=True, slots=True)
class Fold:
    """The parts that all folds have; ``second`` is -1 where there is one variable."""

    range: Evaluate
    init: Evaluate
    result: Evaluate
    accu: int
    first: int
    second: int


def _rounds(run: Run, fold: Fold) -> Iterator[bool]:
    """Sets the variables of each round; tells whether it is the last one."""
    values = fold.range(run)
    slots, first, second = run.slots, fold.first, fold.second
    if not isinstance(values, list | dict | Lazy):
        raise no_such_overload()
    last = len(values) - 1
    if second < 0:
        singles: Iterable[Any] = values
        for at, value in enumerate(singles):
            slots[first] = value
            yield at == last
        return
    pairs: Iterable[Any] = enumerate(values) if isinstance(values, list) else values.items()
    for at, (key, value) in enumerate(pairs):
        slots[first], slots[second] = key, value
        yield at == last


def every(fold: Fold, predicate: Evaluate) -> Evaluate:
    """``all``."""
    return _search(fold, predicate, decisive=False, cost=3)


def some(fold: Fold, predicate: Evaluate) -> Evaluate:
    """``exists``."""
    return _search(fold, predicate, decisive=True, cost=4)


def _search(fold: Fold, predicate: Evaluate, *, decisive: bool, cost: int) -> Evaluate:
    """Looks for an element that decides; errors count only if there is none."""

    otherwise = not decisive

    def evaluate(run: Run) -> bool:
        failed: EvaluationError | None = None
        for last in _rounds(run, fold):
            run.charge(cost)
            try:
                value = predicate(run)
            except EvaluationError as error:
                failed = failed or error
                continue
            if value is decisive:
                run.charge(1 if last else cost)
                return bool(value)
            if value is not otherwise:
                failed = failed or no_such_overload()
        run.charge(1)
        if failed is not None:
            raise failed
        return otherwise

    return evaluate


def generic(fold: Fold, condition: Evaluate, step: Evaluate, *, absorbs: bool) -> Evaluate:
    """Any fold, part by part."""

    def evaluate(run: Run) -> Any:
        slots, accu = run.slots, fold.accu
        start = fold.init(run)
        # a literal belongs to the expression: rounds must not change it
        so_far = start.copy() if isinstance(start, list | dict) and not start else start
        rounds = _rounds(run, fold)
        slots[accu] = so_far
        for _ in rounds:
            if condition(run) is not True:
                break
            run.charge(0)
            try:
                slots[accu] = step(run)
            except EvaluationError as error:
                slots[accu] = error
                if not absorbs:
                    raise
        return fold.result(run)

    return evaluate


def append(accu: int, element: Evaluate) -> Evaluate:
    """``so far + [element]``, in place."""

    def evaluate(run: Run) -> Any:
        so_far = run.slots[accu]
        so_far.append(element(run))
        run.charge(costs.LIST + 2)
        return so_far

    return evaluate
