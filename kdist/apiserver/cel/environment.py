"""What expressions are compiled in: the declared variables and Kubernetes' functions.

Parsing and type checking are the library's (Google's C++ CEL); the checked expression is then planned
(``planner``) and evaluated here, since Kubernetes' cost limits and functions are not the library's. The library is
loaded with the first environment: a server without expressions does not pay for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from kdist.apiserver.cel import ast, declarations, literals, regrouping, types, wording
from kdist.apiserver.cel.ast import Ast
from kdist.apiserver.cel.errors import CompileError
from kdist.apiserver.cel.messages import Messages
from kdist.apiserver.cel.planner import plan
from kdist.apiserver.cel.program import Program
from kdist.apiserver.cel.types import DeclType

_TOO_DEEP = "recursion depth"

if TYPE_CHECKING:
    from cel_expr_python import cel


class Environment:
    """Compiles expressions over some variables. Making one takes about a millisecond: keep it."""

    def __init__(self, variables: Mapping[str, DeclType], *, made: Sequence[DeclType] = ()) -> None:
        """``made`` are the types of objects that expressions make, which are patches then."""
        self.variables = dict(variables)
        self._messages = Messages()
        for declaration in made:
            self._messages.name_of(declaration)
        optional = {name: made for name, made in variables.items() if made.kind == "optional"}
        declared: dict[str, Any] = {n: self._type(m) for n, m in variables.items() if n not in optional}
        signatures = {name: self._signature(made) for name, made in optional.items()}
        config = _configuration(bool(made)) if not signatures else _configuration_with(signatures)
        self._env = _library().NewEnv(self._messages.pool(), config=config, variables=declared)

    def compile(self, expression: str) -> Program:
        """The program of an expression. CompileError tells every fault with its place."""
        checked = self.check(expression)
        try:
            evaluate = plan(checked, frozenset(self.variables), self._messages.types)
        except RecursionError as error:
            raise CompileError("compilation failed: the expression is nested too deeply") from error
        return Program(expression, checked, evaluate, self._result_type(checked))

    def check(self, expression: str) -> Ast:
        """The checked expression. CompileError."""
        try:
            serialized = self._env.compile(expression).serialize()
        except RuntimeError as error:  # the library's only error
            if _TOO_DEEP in str(error) and (balanced := regrouping.regrouped(expression)) != expression:
                return self.check(balanced)
            told = self._messages.shown(wording.faults(str(error), expression))
            raise CompileError(f"compilation failed: {told}") from error
        checked = ast.decode(serialized)
        faults = literals.check(checked, expression)
        if faults:
            raise CompileError("compilation failed: " + "\n".join(faults))
        return checked

    def _result_type(self, checked: Ast) -> str:
        return self._messages.shown(ast.shown(checked.type_of(checked.root)))

    def declaration_of(self, program: Program) -> DeclType:
        """The type of an expression's result, as that of another environment's variable."""
        return self._declaration(program.ast.type_of(program.ast.root))

    def _declaration(self, made: ast.Type) -> DeclType:
        match made[0]:
            case "list":
                return types.list_of(self._declaration(made[1]))
            case "map":
                return types.map_of(self._declaration(made[2]), key=self._declaration(made[1]))
            case "object":
                return self._messages.types.get(made[1], types.DYN)
            case "opaque":
                return types.opaque(made[1]) if len(made) == 2 else types.DYN
        return types.SIMPLE.get(made[0], types.DYN)

    def _type(self, declared: DeclType) -> Any:
        kind = _library().Type
        match declared.kind:
            case "list":
                assert declared.element is not None
                return kind.List(self._type(declared.element))
            case "map":
                assert declared.element is not None and declared.key is not None
                return kind.Map(self._type(declared.key), self._type(declared.element))
            case "object":
                return kind(self._messages.name_of(declared))
            case "opaque":
                return kind.AbstractType(declared.name)
            case "null_type":
                return kind.NULL
        return getattr(kind, declared.kind.upper())

    def _signature(self, declared: DeclType) -> str:
        """A type in the words of the library's configuration, the only place where optional types can be declared."""
        match declared.kind:
            case "optional" | "list":
                assert declared.element is not None
                name = "optional_type" if declared.kind == "optional" else "list"
                return f"{name}<{self._signature(declared.element)}>"
            case "map":
                assert declared.element is not None and declared.key is not None
                return f"map<{self._signature(declared.key)}, {self._signature(declared.element)}>"
            case "object":
                return self._messages.name_of(declared)
            case "opaque":
                return declared.name
        return declared.kind


@cache
def _library() -> Any:
    from cel_expr_python import cel

    return cel


def _configuration_with(signatures: Mapping[str, str]) -> cel.EnvConfig:
    """The configuration with variables of its own."""
    configuration = json.loads(declarations.configuration())
    configuration["variables"] += [{"name": n, "type": signature} for n, signature in signatures.items()]
    return _library().NewEnvConfigFromYaml(json.dumps(configuration))


@cache
def _configuration(patching: bool) -> cel.EnvConfig:
    return _library().NewEnvConfigFromYaml(declarations.configuration(patching=patching))
