"""What a policy says about one request with one parameter. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.apiserver.admission.expressions.conditions import (
    Compiled,
    ConditionError,
    OutOfBudget,
)
from kdist.apiserver.admission.policies.compilation import Policy, Validation
from kdist.apiserver.cel import Budget, CelError, CompileError, EvaluationError
from kdist.apiserver.cel.values import Lazy, type_name

MESSAGE_LIMIT = 5 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that does not hold, or an expression that failed. ``index`` is the rule's place."""

    index: int
    message: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``failures`` are judged by the binding's actions; ``refusals`` refuse whatever the actions are."""

    failures: tuple[Failure, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    refusals: tuple[str, ...] = ()


NOTHING = Verdict()


def judge(policy: Policy, values: Mapping[str, Any], params: Any, inline: int = 0) -> Verdict:
    """The verdict on a request, whose ``values`` are those of its variables. Postponed, with ``inline``."""
    bindings = {**values, "params": params}
    if policy.conditions.conditions:
        try:
            # conditions come before the namespace is known
            if not policy.conditions.hold({**bindings, "namespaceObject": None}, inline=inline):
                return NOTHING
        except ConditionError as error:
            return _failed(policy, str(error))
    try:
        failures = tuple(_failures(policy, bindings, Budget(inline=inline)))
    except OutOfBudget as error:
        return _failed(policy, str(error))
    if not policy.annotations:
        return Verdict(failures) if failures else NOTHING
    return _with_annotations(policy, bindings, failures, Budget(inline=inline))


def _failed(policy: Policy, message: str) -> Verdict:
    return NOTHING if policy.ignore_failure else Verdict((Failure(0, message),))


def _failures(policy: Policy, bindings: dict[str, Any], budget: Budget) -> Iterator[Failure]:
    bindings["variables"] = variables_of(policy.variables, bindings, budget)
    broken: list[tuple[int, Validation, str]] = []
    for at, validation in enumerate(policy.validations):
        try:
            if validation.check.evaluate(bindings, budget) is not True:
                broken.append((at, validation, ""))
        except EvaluationError as error:
            if not policy.ignore_failure:
                broken.append((at, validation, str(error)))
    if not broken:
        return
    # messages are made of what the rules left of the budget
    bindings["variables"] = variables_of(policy.variables, bindings, budget)
    for at, validation, failed in broken:
        if failed:
            yield Failure(at, failed)
        else:
            yield Failure(at, _message(validation, bindings, budget), validation.reason)


def _message(validation: Validation, bindings: Mapping[str, Any], budget: Budget) -> str:
    """The message expression's text if it is one line of fair length, else the one given."""
    if validation.message_expression is None:
        return validation.message
    try:
        told = validation.message_expression.evaluate(bindings, budget)
    except EvaluationError:
        return validation.message
    except OutOfBudget as error:
        return f"failed messageExpression: {error}"
    text = told.strip() if isinstance(told, str) else ""
    return text if text and len(text.encode()) <= MESSAGE_LIMIT and "\n" not in text else validation.message


def variables_of(variables: Mapping[str, Compiled], bindings: dict[str, Any], budget: Budget) -> Lazy | None:
    """A policy's variables, each evaluated when it is first needed."""
    if not variables:
        return None

    def of(name: str, variable: Compiled) -> Callable[[], Any]:
        def evaluate() -> Any:
            if isinstance(variable.program, CompileError):
                raise EvaluationError(f'composited variable "{name}" fails to compile: {variable.program}')
            try:
                return variable.program.evaluate(bindings, budget)
            except CelError as error:
                raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error

        return evaluate

    return Lazy({name: of(name, variable) for name, variable in variables.items()})


def _with_annotations(
    policy: Policy, bindings: dict[str, Any], failures: tuple[Failure, ...], budget: Budget
) -> Verdict:
    bindings["variables"] = variables_of(policy.variables, bindings, budget)
    annotations: list[tuple[str, str]] = []
    refusals: list[str] = []
    for key, expression in policy.annotations:
        try:
            value = expression.evaluate(bindings, budget)
        except OutOfBudget as error:
            return _failed(policy, str(error))
        except EvaluationError as error:
            if not policy.ignore_failure:
                refusals.append(str(error))
            continue
        if isinstance(value, str):
            if value.strip():
                annotations.append((key, value.strip()))
        elif value is not None:
            refusals.append(
                f"valueExpression '{expression.expression}' resulted in unsupported return type: "
                f"{type_name(value)}. Return type must be either string or null."
            )
    return Verdict(failures, tuple(annotations), tuple(refusals))
