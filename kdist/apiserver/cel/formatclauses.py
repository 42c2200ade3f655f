"""The clauses of format strings: ``%s``, ``%.2f``. Literal ones are judged before they are ever used."""

from __future__ import annotations

import re

from kdist.apiserver.cel.ast import Type, shown

CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([a-zA-Z]))|%")
UNEXPECTED_END = "unexpected end of string"
_TAKES: dict[str, tuple[frozenset[str], str]] = {
    "d": (frozenset({"int", "uint"}), "decimal clause can only be used on integers"),
    "f": (frozenset({"double", "string"}), "fixed-point clause can only be used on doubles"),
    "e": (frozenset({"double", "string"}), "scientific clause can only be used on doubles"),
    "x": (
        frozenset({"int", "uint", "string", "bytes"}),
        "only integers, byte buffers, and strings can be formatted as hex",
    ),
    "o": (frozenset({"int", "uint"}), "octal clause can only be used on integers"),
    "b": (frozenset({"int", "uint", "bool"}), "only integers and bools can be formatted as binary"),
}


def misfit(verb: str, kind: str) -> str:
    """What is wrong with a value of a type for a verb."""
    return f"error during formatting: {_TAKES[verb.lower()][1]}, was given {kind}"


def unrecognized(verb: str) -> str:
    """What is wrong with a verb that there is not."""
    return f'could not parse formatting clause: unrecognized formatting clause "{verb}"'


def fault(pattern: str, types: list[Type]) -> tuple[int | None, str] | None:
    """The first fault of a format string for arguments of known types, and the argument's place if it is one's."""
    at = 0
    for match in CLAUSE.finditer(pattern):
        if match[1]:
            continue
        verb = match[3]
        if not verb:
            return None, UNEXPECTED_END
        if at >= len(types):
            return None, f"index {at} out of range"
        if verb != "s":
            if verb.lower() not in _TAKES or verb in "DFEOB":
                return None, unrecognized(verb)
            kind = types[at][0]
            if kind != "dyn" and kind not in _TAKES[verb.lower()][0]:
                return at, misfit(verb, shown(types[at]))
        at += 1
    return None
