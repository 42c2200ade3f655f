"""Match conditions of authorization webhooks: CEL expressions over ``request``, the review's spec."""

from __future__ import annotations

import functools

from kdist.apiserver.authz.webhook import Condition
from kdist.apiserver.cel import CelError, CompileError, Environment
from kdist.apiserver.cel.types import STRING, DeclType, bind, list_of, map_of, object_of
from kdist.apiserver.ports import Obj
from kdist.telemetry import log

_log = log.get(__name__)


class BadCondition(ValueError):
    """The expression does not compile, or is no condition."""


@functools.cache
def _request() -> DeclType:
    requirement = object_of({"key": STRING, "operator": STRING, "values": list_of(STRING)}, "requirement")
    selector = object_of({"rawSelector": STRING, "requirements": list_of(requirement)}, "selector")
    names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
    resource = object_of(
        {**dict.fromkeys(names, STRING), "fieldSelector": selector, "labelSelector": selector}, "resource"
    )
    path = object_of({"path": STRING, "verb": STRING}, "path")
    return object_of(
        {
            "user": STRING,
            "uid": STRING,
            "groups": list_of(STRING),
            "extra": map_of(list_of(STRING)),
            "resourceAttributes": resource,
            "nonResourceAttributes": path,
        },
        "request",
    )


@functools.cache
def _environment() -> Environment:
    return Environment({"request": _request()})


def compile_condition(expression: str) -> Condition:
    """The condition of an expression. Raises BadCondition."""
    try:
        program = _environment().compile(expression)
    except CompileError as error:
        raise BadCondition(str(error)) from error
    if program.result_type != "bool":
        raise BadCondition("must evaluate to bool")

    def holds(review: Obj) -> bool | None:
        try:
            value = program.evaluate({"request": bind(_complete(review), _request())})
        except CelError as error:
            _log.warning("a match condition failed", expression=expression, error=str(error))
            return None
        return bool(value)

    return holds


def _complete(review: Obj) -> Obj:
    """The spec as expressions see it: strings, groups and extra are there even when they are empty."""
    complete = {"user": "", "uid": "", "groups": [], "extra": {}, **review}
    if "resourceAttributes" in complete:
        names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
        complete["resourceAttributes"] = {**dict.fromkeys(names, ""), **complete["resourceAttributes"]}
    return complete
