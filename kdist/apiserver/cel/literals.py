"""What Kubernetes checks of literals besides their types: durations, timestamps, patterns, like elements."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.apiserver.cel import formatclauses, patterns, values
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
        for at, message in _faults(ast, node, exempt=node.id in exempt):
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


def _faults(ast: Ast, node: Node, *, exempt: bool) -> Iterator[tuple[Node, str]]:
    if isinstance(node, Call):
        yield from _call_faults(ast, node)
    elif exempt:
        return
    elif isinstance(node, ListNode):
        yield from _unlike(ast, [e for at, e in enumerate(node.elements) if at not in node.optional])
    elif isinstance(node, StructNode) and not node.name:
        entries = [entry for entry in node.entries if not entry.optional]
        yield from _unlike(ast, [entry.key for entry in entries])
        yield from _unlike(ast, [entry.value for entry in entries])


def _call_faults(ast: Ast, node: Call) -> Iterator[tuple[Node, str]]:
    if node.function == "format" and isinstance(node.target, Const) and isinstance(node.args[0], ListNode):
        types = [ast.type_of(argument) for argument in node.args[0].elements]
        fault = formatclauses.fault(str(node.target.value), types)
        if fault is not None:
            at, told = fault
            yield (node.target if at is None else node.args[0].elements[at]), told
    literal = node.args[-1] if node.args else None
    if not isinstance(literal, Const) or not isinstance(literal.value, str):
        return
    text = literal.value
    if node.function == "duration" and values.parse_duration(text) is None:
        yield literal, "invalid duration argument"
    if node.function == "timestamp" and values.parse_timestamp(text) is None:
        yield literal, "invalid timestamp argument"
    if node.function in ("matches", "find", "findAll"):
        try:
            patterns.compile(text)
        except EvaluationError:
            yield literal, f"invalid {node.function} argument"


def _unlike(ast: Ast, nodes: list[Node]) -> Iterator[tuple[Node, str]]:
    """The elements whose types are not that of the first one."""
    wanted: Type | None = None
    for node in nodes:
        kind = ast.type_of(node)
        if wanted is None:
            wanted = kind
        elif not _alike(wanted, kind):
            yield node, f"expected type '{shown(wanted)}' but found '{shown(kind)}'"


def _alike(one: Type, other: Type) -> bool:
    if one[0] in ("dyn", "opaque") or other[0] in ("dyn", "opaque"):
        return one[0] == other[0] or "dyn" in (one[0], other[0])
    return one[0] == other[0] and all(
        _alike(a, b) for a, b in zip(one[1:], other[1:], strict=False) if isinstance(a, tuple)
    )
