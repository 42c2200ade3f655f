"""MutatingAdmissionPolicies as they are evaluated: compiled once, then patches of one object. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.api.errors import ApiError, BadRequest, InternalError
from kdist.api.patch import fieldset
from kdist.api.patch import json as json_patch
from kdist.api.patch.apply import merged
from kdist.api.schema import ANY, Schema
from kdist.apiserver.admission.expressions.conditions import Compiled, OutOfBudget, compiled
from kdist.apiserver.admission.policies.compilation import AnyPolicy, Frame, Scope
from kdist.apiserver.admission.policies.evaluation import variables_of
from kdist.apiserver.cel import Budget, EvaluationError, patches
from kdist.apiserver.cel.values import Struct
from kdist.apiserver.ports import Obj
from kdist.apiserver.validation.structure import conform

JSON_PATCH, APPLY = "JSONPatch", "ApplyConfiguration"
#: The type that the expression of each kind of patch has to give.
RESULTS = {JSON_PATCH: f"list({patches.JSON_PATCH})", APPLY: patches.OBJECT}
FIELDS = {JSON_PATCH: "jsonPatch", APPLY: "applyConfiguration"}


class MutationError(Exception):
    """A mutation cannot be made; the text is told to whoever asked."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One patch: how it is applied, and what makes it."""

    type: str
    expression: Compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class MutatingPolicy(AnyPolicy):
    """A MutatingAdmissionPolicy. ``reinvoke``: it wants to be asked again when something changed after it."""

    mutations: tuple[Mutation, ...]
    reinvoke: bool


def policy(obj: Obj) -> MutatingPolicy:
    """From a MutatingAdmissionPolicy."""
    spec, frame = obj["spec"], Frame(obj)
    made = tuple(_mutation(frame.scope, mutation) for mutation in spec.get("mutations") or ())
    return MutatingPolicy(
        mutations=made,
        reinvoke=spec.get("reinvocationPolicy") == "IfNeeded",
        **frame.fields(mutation.expression for mutation in made),
    )


def _mutation(scope: Scope, mutation: Obj) -> Mutation:
    kind = mutation["patchType"]
    return Mutation(kind, compile_patch(scope, kind, mutation[FIELDS[kind]]["expression"]))


def compile_patch(scope: Scope, type: str, expression: str) -> Compiled:
    """The program of a patch's expression, or what is wrong with it."""
    made = patches.declared(expression)
    found = compiled(scope.making(made.types), made.text, RESULTS[type])
    return Compiled(expression, found.program)


def patch(
    mutation: Mutation,
    variables: Mapping[str, Compiled],
    values: Mapping[str, Any],
    params: Any,
    schema: Schema,
    inline: int = 0,
) -> Obj:
    """The object of ``values`` with one patch applied. MutationError; Postponed, with ``inline``."""
    budget = Budget(inline=inline)
    bindings: dict[str, Any] = {**values, "params": params}
    bindings["variables"] = variables_of(variables, bindings, budget)
    try:
        found = mutation.expression.evaluate(bindings, budget)
        return _APPLY[mutation.type](values["object"], found, schema)
    except (EvaluationError, OutOfBudget) as error:
        raise MutationError(str(error)) from error


def _operation(made: Any) -> Obj:
    if not isinstance(made, Struct):
        raise MutationError("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    operation = dict(made.fields)
    if "value" in operation:
        _check_places(operation["value"])
        operation["value"] = patches.to_json(operation["value"])
    return operation


def _check_places(value: Any) -> None:
    """An Object as the value of an operation has to be made of the types of its own places."""
    if isinstance(value, Struct):
        told = list(patches.misplaced(value, tuple(value.name.split("_"))))
        if told:
            raise MutationError("type mismatch: " + "\n".join(told))


def _patched(obj: Obj, made: Any, schema: Schema) -> Obj:
    operations = [_operation(one) for one in made]
    try:
        after = json_patch.apply(obj, operations)
    except json_patch.TestFailed:
        return obj  # as upstream: such a patch is not for this object
    except ApiError as error:
        raise MutationError(f"JSON Patch: {error.message.removeprefix('jsonpatch: ')}") from error
    if not isinstance(after, dict):
        raise MutationError("JSON Patch: it leaves no object")
    try:
        unknown = conform(after, schema)
    except BadRequest as error:
        raise InternalError(f"Internal error occurred: {error.message}") from error
    if unknown:
        told = ", ".join(f'unknown field "{field}"' for field in unknown)
        raise InternalError(f"Internal error occurred: strict decoding error: {told}")
    return after


def _applied(obj: Obj, made: Any, schema: Schema) -> Obj:
    told = list(patches.misplaced(made, (patches.OBJECT,)))
    if told:
        raise MutationError("type mismatch: " + "\n".join(told))
    wanted: Obj = patches.to_json(made)
    if misfits := list(_misfits(wanted, schema, "")):
        wrong = "\n".join(misfits)
        raise MutationError(f"error applying patch: failed to convert patch object to typed object: {wrong}")
    atomic = list(_atomics(wanted, schema, ""))
    if atomic:
        places = ", ".join(atomic)
        raise MutationError(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            f"{places}"
        )
    result = merged(obj, wanted, schema)
    conform(result, schema)
    return result


_EXPECTED: dict[str, tuple[type | tuple[type, ...], str]] = {
    "boolean": (bool, "boolean"),
    "string": (str, "string"),
    "integer": (int, "numeric (int or float)"),
    "number": ((int, float), "numeric (int or float)"),
    "array": (list, "list"),
    "object": (dict, "map"),
    "map": (dict, "map"),
}


def _misfits(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """What of a patch is not of the type that is published."""
    kind, told = _EXPECTED.get(schema.kind, (object, ""))
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        yield f"{path}: expected {told}, got &{{{value}}}"
    elif isinstance(value, dict) and schema.kind in ("object", "map"):
        for name, inner in value.items():
            child = schema.child(name)
            if child is None:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from _misfits(inner, child, f"{path}.{name}")
    elif isinstance(value, list) and schema.items is not None:
        for at, inner in enumerate(value):
            yield from _misfits(inner, schema.items, f"{path}[{at}]")


def _atomics(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """The paths of lists, maps and objects that only change as a whole."""
    if isinstance(value, dict | list) and path and schema.kind != "any" and fieldset.is_atomic(schema):
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            child = schema.child(name)
            if child is not None:
                yield from _atomics(inner, child, f"{path}.{name}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _atomics(inner, schema.items or ANY, f"{path}[{at}]")


_APPLY: dict[str, Callable[[Obj, Any, Schema], Obj]] = {JSON_PATCH: _patched, APPLY: _applied}
