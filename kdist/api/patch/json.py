"""JSON patch, RFC 6902. A malformed patch is a BadRequest; one that does not apply is Invalid."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from kdist.api.errors import BadRequest, Invalid, RequestEntityTooLarge

MAX_OPERATIONS = 10_000
_NEEDS_VALUE = {"add", "replace", "test"}
_NEEDS_FROM = {"move", "copy"}


def apply(document: Any, patch: Sequence[dict[str, Any]]) -> Any:
    """The document after all operations; the argument stays as it is."""
    if len(patch) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    result = deepcopy(document)
    for operation in patch:
        result = _apply_one(result, operation)
    return result


def _apply_one(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise BadRequest("jsonpatch operation needs an op and a path")
    op, path = operation.get("op"), _tokens(operation["path"])
    if op in _NEEDS_VALUE and "value" not in operation:
        raise BadRequest(f"jsonpatch {op} operation needs a value")
    if op in _NEEDS_FROM and not isinstance(operation.get("from"), str):
        raise BadRequest(f"jsonpatch {op} operation needs a from")
    match op:
        case "add":
            return _add(document, path, deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            return _replace(document, path, deepcopy(operation["value"]))
        case "test":
            _test(document, path, operation["value"])
            return document
        case "move":
            rest, value = _remove(document, _tokens(operation["from"]))
            return _add(rest, path, value)
        case "copy":
            return _add(document, path, deepcopy(_find(document, _tokens(operation["from"]))))
    raise BadRequest(f"jsonpatch operation {op!r} is unknown")


def _tokens(pointer: str) -> list[str]:
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise BadRequest(f"jsonpatch pointer {pointer!r} does not start with a slash")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _missing(token: str) -> Invalid:
    return Invalid(f"jsonpatch: unable to find {token!r}: missing value")


def _index(items: list[Any], token: str, *, appending: bool = False) -> int:
    if appending and token == "-":
        return len(items)
    if not token.lstrip("-").isdigit():
        raise _missing(token)
    at = int(token)
    at = at + len(items) if at < 0 else at
    if not 0 <= at < len(items) + appending:
        raise _missing(token)
    return at


def _step(node: Any, token: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, token)]
    if isinstance(node, dict) and token in node:
        return node[token]
    raise _missing(token)


def _find(document: Any, path: list[str]) -> Any:
    for token in path:
        document = _step(document, token)
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(_index(parent, last, appending=True), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise _missing(last)
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    if not path:
        raise Invalid("jsonpatch: unable to remove the whole document")
    parent, last = _find(document, path[:-1]), path[-1]
    _step(parent, last)
    return document, parent.pop(_index(parent, last) if isinstance(parent, list) else last)


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    _step(parent, last)
    parent[_index(parent, last) if isinstance(parent, list) else last] = value
    return document


def _test(document: Any, path: list[str], expected: Any) -> None:
    try:
        found = _find(document, path)
    except Invalid:
        found = None  # a missing value equals null, as in upstream's library
    if found != expected or isinstance(found, bool) is not isinstance(expected, bool):
        raise Invalid(f"jsonpatch: testing value /{'/'.join(path)} failed: test failed")
