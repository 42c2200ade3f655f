"""Evaluation of look-ups: fields, keys, indexes, their presence."""

from __future__ import annotations

from typing import Any

from kdist.apiserver.cel.costs import walked
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.logic import Evaluate
from kdist.apiserver.cel.run import Run
from kdist.apiserver.cel.values import NONE, Lazy, Optional, Struct, Uint, equal, size

_MISSING = object()


def chain(operand: Evaluate, path: tuple[tuple[str, bool], ...], cost: int) -> Evaluate:
    """``operand.a.b.c``; each name comes with whether it is an object's, whose nulls count as absent."""

    def evaluate(run: Run) -> Any:
        value = operand(run)
        run.cost += cost
        for name, typed in path:
            if type(value) is dict:
                try:
                    value = value[name]
                except KeyError:
                    raise EvaluationError(f"no such key: {name}") from None
                if value is None and typed:
                    raise EvaluationError(f"no such key: {name}")
            else:
                value = _selected(value, name)
        return value

    return evaluate


def _selected(value: Any, name: str) -> Any:
    """A field of what is no plain map."""
    if isinstance(value, Optional):
        found = _found(value.value, name) if value.present else _MISSING
        return NONE if found is _MISSING else Optional(found, True)
    found = _found(value, name)
    if found is _MISSING:
        raise EvaluationError(f"no such key: {name}")
    return found


def _found(value: Any, key: Any) -> Any:
    """The value at a key or an index, or _MISSING; scalars have neither."""
    if isinstance(value, dict | Lazy):
        return value.get(_hashable(key), _MISSING) if isinstance(value, dict) else _lazy(value, key)
    if isinstance(value, Struct):
        return value.fields.get(key, _MISSING)
    if isinstance(value, list):
        at = _index(key)
        return value[at] if 0 <= at < len(value) else _MISSING
    return _MISSING


def _lazy(value: Lazy, key: Any) -> Any:
    return value[key] if key in iter(value) else _MISSING


def _index(key: Any) -> int:
    if type(key) in (int, Uint):
        return int(key)
    if type(key) is float and key.is_integer():
        return int(key)
    raise EvaluationError(f"unsupported index type in list: {type(key).__name__}")


def _hashable(key: Any) -> Any:
    if isinstance(key, list | dict):
        raise no_such_overload()
    return int(key) if type(key) is float and key.is_integer() else key


def map_key(key: Any) -> Any:
    """A value as a key of a new map. EvaluationError when it cannot be one."""
    if type(key) in (str, bool, int, Uint):
        return key
    raise EvaluationError("unsupported key type")


def presence(operand: Evaluate, name: str, *, typed: bool) -> Evaluate:
    """``has(operand.name)``; costs nothing."""

    def evaluate(run: Run) -> bool:
        value = operand(run)
        if isinstance(value, Optional):
            if not value.present:
                return False
            value = value.value
        found = _found(value, name)
        return found is not _MISSING and not (typed and found is None)

    return evaluate


def index(operand: Evaluate, key: Evaluate, cost: int, *, optional: bool) -> Evaluate:
    """``operand[key]``, or ``operand[?key]`` and ``operand.?key``, whose result is an optional."""

    def evaluate(run: Run) -> Any:
        value, at = operand(run), key(run)
        run.cost += cost
        if isinstance(value, Optional):
            if not value.present:
                return NONE
            found = _found(value.value, at)
            return NONE if found is _MISSING else Optional(found, True)
        found = _found(value, at)
        if optional:
            return NONE if found is _MISSING else Optional(found, True)
        if found is _MISSING:
            if isinstance(value, list):
                raise EvaluationError(f"index out of bounds: {at}")
            raise EvaluationError(f"no such key: {at}")
        return found

    return evaluate


def membership(operand: Evaluate, members: Any) -> Evaluate:
    """``x in [literals]``: known beforehand, so it costs no more than its operand."""

    def evaluate(run: Run) -> bool:
        value = operand(run)
        run.copied(walked(size(members)))
        return contains(value, members)

    return evaluate


def contains(value: Any, members: Any) -> bool:
    """``value in members``."""
    if isinstance(members, dict):
        return not isinstance(value, list | dict) and _hashable(value) in members
    if not isinstance(members, list):
        raise no_such_overload()
    if type(value) is str:
        return value in members
    return any(equal(value, member) for member in members)
