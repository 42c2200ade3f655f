"""CEL expressions about an issuer's tokens: over ``claims`` they make and judge users, over ``user`` judge them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.oidc.issuer import Expression
from kdist.apiserver.cel import CelError, CompileError, Environment, Program
from kdist.apiserver.cel.types import DYN, STRING, DeclType, bind, list_of, map_of, object_of

_EMAIL = re.compile(r"\bclaims\.\??email(?![A-Za-z0-9_])")
_VERIFIED = re.compile(r"\bclaims\.\??email_verified(?![A-Za-z0-9_])")


class BadExpression(ValueError):
    """The expression does not compile, or does not give what it should."""


@functools.cache
def _declared(variable: str) -> DeclType:
    if variable == "claims":
        return map_of(DYN)
    fields = {"username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(list_of(STRING))}
    return object_of(fields, "user")


@functools.cache
def _environment(variable: str) -> Environment:
    return Environment({variable: _declared(variable)})


def value_of_claims(expression: str) -> Expression:
    """The value that an expression makes of the claims; its type is looked at when it is known. BadExpression."""
    return _evaluating(_compiled("claims", expression), "claims")


def claims_hold(expression: str) -> Expression:
    """Whether the claims are as they should be. BadExpression."""
    return _condition("claims", expression)


def user_holds(expression: str) -> Expression:
    """Whether the user is as they should be. BadExpression."""
    return _condition("user", expression)


def _condition(variable: str, expression: str) -> Expression:
    program = _compiled(variable, expression)
    if program.result_type != "bool":
        raise BadExpression("must evaluate to bool")
    return _evaluating(program, variable)


def _compiled(variable: str, expression: str) -> Program:
    try:
        return _environment(variable).compile(expression)
    except CompileError as error:
        raise BadExpression(str(error)) from error


def _evaluating(program: Program, variable: str) -> Expression:
    def evaluate(facts: Mapping[str, Any]) -> Any:
        given = dict(facts)
        if variable == "user":
            given = {"username": "", "uid": "", "groups": [], "extra": {}, **given}
        try:
            return program.evaluate({variable: bind(given, _declared(variable))})
        except CelError as error:
            raise Unauthorized(
                f"oidc: error evaluating expression '{program.expression}': {error}"
            ) from error

    return evaluate


def trusts_unverified_email(username: str, others: list[str]) -> bool:
    """Whether a user name is made of an e-mail address that nothing says is the user's."""
    return bool(_EMAIL.search(username)) and not any(_VERIFIED.search(text) for text in (username, *others))
