"""Faults of expressions as upstream words them, where the type checker has words of its own."""

from __future__ import annotations

import re

_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ")
_STRUCT = re.compile(r"(undefined field '[^']*') not found in struct '[^']*'")
_SELECT = re.compile(r"expression of type '(type\(.*\))' cannot be the operand of a select operation")
_APPLIED = re.compile(r"(found no matching overload for '(\w+)' applied to ')\((.*)\)'")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)\.\w+' ")
_WORDS = (
    ("has() argument must be a field selection", "invalid argument to has() macro"),
    ("'\\u003F'", "'?'"),
    ("null_type", "null"),
)


def faults(text: str, source: str) -> str:
    """The checker's message about an expression: faults by their places, each with its line and a mark."""
    text = _STATUS.sub("", text)
    if not _PLACE.match(text):
        return text
    starts = [match.start() for match in _PLACE.finditer(text)]
    parts = [
        text[one:other].rstrip("\n") for one, other in zip(starts, [*starts[1:], len(text)], strict=True)
    ]
    placed = sorted({_reworded(part, source.split("\n")) for part in parts})
    return "\n".join(part for _, _, part in placed)


def _reworded(part: str, lines: list[str]) -> tuple[int, int, str]:
    match = _PLACE.match(part)
    assert match is not None
    line, column = int(match[1]), int(match[2])
    message = part[match.end() :].partition("\n")[0]
    message = _SELECT.sub(r"type '\1' does not support field selection", _STRUCT.sub(r"\1", message))
    message = re.sub(
        r"\w+\(\) variable name must be a simple identifier", "argument is not an identifier", message
    )
    for own, upstreams in _WORDS:
        message = message.replace(own, upstreams)
    if not 0 < line <= len(lines):
        return line, column, part
    text = lines[line - 1]
    message = _APPLIED.sub(lambda found: _applied(found, text[: column - 1]), message)
    message, column = _root_of(message, text, column)
    return line, column, f"ERROR: <input>:{line}:{column}: {message}\n | {text}\n | {'.' * (column - 1)}^"


def _applied(found: re.Match[str], before: str) -> str:
    """``T.(arguments)`` for a call of a member, ``(arguments)`` for any other."""
    if not before.endswith(f".{found[2]}"):
        return found[0]
    target, depth = found[3], 0
    for at, char in enumerate(found[3]):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            target = found[3][:at]
            break
    rest = found[3][len(target) :].removeprefix(", ")
    return f"{found[1]}{target}.({rest})'"


def _root_of(message: str, text: str, column: int) -> tuple[str, int]:
    """A name with dots is unknown for its first part, at its place."""
    match = _UNDECLARED.match(message)
    if match is None:
        return message, column
    start = column - 1 - len(match[1])
    if start < 0 or text[start : column - 1] != match[1]:
        return message, column
    root = match[1].partition(".")[0]
    return f"undeclared reference to '{root}' " + message[match.end() :], start + 1
