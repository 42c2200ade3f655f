"""What Kubernetes checks of literals besides their types: durations, timestamps, patterns, like elements."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.apiserver.cel import patterns, values
from kdist.apiserver.cel.ast import (
    Ast,
    Call,
    Comprehension,
    Const,
    ListNode,
    Node,
    Select,
    StructNode,
    Type,
    shown,
)
from kdist.apiserver.cel.errors import EvaluationError


def check(ast: Ast, source: str) -> list[str]:
    """The faults, each with its place in the expression."""
    found: list[str] = []
    exempt = _arguments_of_format(ast)
    for node in walk(ast.root):
        told = None if node.id in exempt else _fault(ast, node)
        if told is not None:
            at, message = told
            found.append(place(ast, at, message, source))
    return found


def _arguments_of_format(ast: Ast) -> set[int]:
    """The nodes below calls of ``format``, whose lists are of unlike values."""
    calls = (node for node in walk(ast.root) if isinstance(node, Call) and node.function == "format")
    return {below.id for call in calls for argument in call.args for below in walk(argument)}


def place(ast: Ast, node: Node, message: str, source: str) -> str:
    """A message with the line it is about and a mark under the place."""
    offset = ast.positions.get(node.id, 0)
    before = source[:offset]
    line, column = before.count("\n"), offset - (before.rfind("\n") + 1)
    text = source.split("\n")[line]
    return f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {text}\n | {'.' * column}^"


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def children(node: Node) -> list[Node]:
    """What a node is made of."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return ([node.target] if node.target is not None else []) + node.args
        case ListNode():
            return node.elements
        case StructNode():
            keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
            return keys + [entry.value for entry in node.entries]
        case Comprehension():
            return [node.range, node.accu_init, node.condition, node.step, node.result]
    return []


def _fault(ast: Ast, node: Node) -> tuple[Node, str] | None:
    if isinstance(node, Call):
        return _call_fault(node)
    if isinstance(node, ListNode):
        elements = [e for at, e in enumerate(node.elements) if at not in node.optional]
        return _unlike(ast, elements)
    if isinstance(node, StructNode) and not node.name:
        entries = [entry for entry in node.entries if not entry.optional]
        return _unlike(ast, [entry.key for entry in entries]) or _unlike(ast, [e.value for e in entries])
    return None


def _call_fault(node: Call) -> tuple[Node, str] | None:
    literal = node.args[-1] if node.args else None
    if not isinstance(literal, Const) or not isinstance(literal.value, str):
        return None
    text = literal.value
    if node.function == "duration" and values.parse_duration(text) is None:
        return literal, "invalid duration argument"
    if node.function == "timestamp" and values.parse_timestamp(text) is None:
        return literal, "invalid timestamp argument"
    if node.function == "matches":
        try:
            patterns.compile(text)
        except EvaluationError:
            return literal, "invalid matches argument"
    return None


def _unlike(ast: Ast, nodes: list[Node]) -> tuple[Node, str] | None:
    """The first element whose type is not that of the first one."""
    wanted: Type | None = None
    for node in nodes:
        kind = ast.type_of(node)
        if wanted is None:
            wanted = kind
        elif not _alike(wanted, kind):
            return node, f"expected type '{shown(wanted)}' but found '{shown(kind)}'"
    return None


def _alike(one: Type, other: Type) -> bool:
    if one[0] in ("dyn", "opaque") or other[0] in ("dyn", "opaque"):
        return one[0] == other[0] or "dyn" in (one[0], other[0])
    return one[0] == other[0] and all(
        _alike(a, b) for a, b in zip(one[1:], other[1:], strict=False) if isinstance(a, tuple)
    )
