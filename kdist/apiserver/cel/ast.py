"""Checked expressions, read from their published serialized form (``cel.expr.CheckedExpr``).

The parser and type checker is a library's; this module turns what it serializes into nodes for the planner and
the cost estimator. Types are tuples: ``("list", element)``, ``("map", key, value)``, ``("object", name)``,
``("opaque", name, *parameters)``, ``("int",)`` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kdist.apiserver.cel.values import Uint
from kdist.apiserver.protobuf import wire

Type = tuple[Any, ...]
DYN: Type = ("dyn",)
_PRIMITIVES = ("dyn", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("dyn", "dyn", "timestamp", "duration")


@dataclass(slots=True)
class Node:
    """Base: ``id`` is unique within an expression."""

    id: int


@dataclass(slots=True)
class Const(Node):
    """A literal."""

    value: Any


@dataclass(slots=True)
class Ident(Node):
    """A variable, or the name of a type."""

    name: str


@dataclass(slots=True)
class Select(Node):
    """``operand.field``, or ``has(operand.field)``."""

    operand: Node
    field: str
    test_only: bool


@dataclass(slots=True)
class Call(Node):
    """``function(args)`` or ``target.function(args)``."""

    function: str
    target: Node | None
    args: list[Node]


@dataclass(slots=True)
class ListNode(Node):
    """``[elements]``; ``optional`` holds the places of those with a question mark."""

    elements: list[Node]
    optional: frozenset[int]


@dataclass(slots=True)
class Entry:
    """One entry of a map or a field of an object; ``key`` is a node or a field's name."""

    key: Any
    value: Node
    optional: bool


@dataclass(slots=True)
class StructNode(Node):
    """``{key: value}``, or ``Name{field: value}``."""

    name: str
    entries: list[Entry]


@dataclass(slots=True)
class Comprehension(Node):
    """What macros come to: a fold of ``range``."""

    iter_var: str
    iter_var2: str
    range: Node
    accu_var: str
    accu_init: Node
    condition: Node
    step: Node
    result: Node


@dataclass(slots=True)
class Ast:
    """A checked expression. ``names`` are resolved identifiers, ``overloads`` candidates of calls."""

    root: Node
    types: dict[int, Type] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    overloads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)

    def type_of(self, node: Node) -> Type:
        """The deduced type."""
        return self.types.get(node.id, DYN)


def shown(made: Type) -> str:
    """A type as messages tell it."""
    match made[0]:
        case "object":
            return str(made[1])
        case "opaque":
            inner = ", ".join(shown(part) for part in made[2:])
            return f"{made[1]}({inner})" if inner else str(made[1])
        case "list" | "map" | "type":
            return f"{made[0]}({', '.join(shown(part) for part in made[1:])})"
        case "timestamp":
            return "google.protobuf.Timestamp"
        case "duration":
            return "google.protobuf.Duration"
    return str(made[0])


def decode(serialized: bytes) -> Ast:
    """The expression of a serialized, checked one (an ``Any``)."""
    checked = _one(serialized, 2)
    ast = Ast(Const(0, None))
    for number, value in wire.fields(checked):
        if number == 2:
            identity, reference = _entry(value)
            _read_reference(ast, identity, reference)
        elif number == 3:
            identity, described = _entry(value)
            ast.types[identity] = _type(described)
        elif number == 4:
            ast.root = _node(_bytes(value))
        elif number == 5:
            for sub, pair in wire.fields(_bytes(value)):
                if sub == 4:
                    numbers = {n: int(v) for n, v in wire.fields(_bytes(pair)) if isinstance(v, int)}
                    ast.positions[numbers.get(1, 0)] = numbers.get(2, 0)
    return ast


def _read_reference(ast: Ast, identity: int, reference: bytes) -> None:
    overloads = []
    for number, value in wire.fields(reference):
        if number == 1:
            ast.names[identity] = _text(value)
        elif number == 3:
            overloads.append(_text(value))
    if overloads:
        ast.overloads[identity] = tuple(overloads)


def _type(data: bytes) -> Type:
    for number, value in wire.fields(data):
        if number == 2:
            return ("null_type",)
        if number == 3:
            return (_PRIMITIVES[int(value)],)
        if number == 5:
            return (_WELL_KNOWN[int(value)],)
        if number == 6:
            return ("list", _type(_one(_bytes(value), 1)))
        if number == 7:
            return ("map", _type(_one(_bytes(value), 1)), _type(_one(_bytes(value), 2)))
        if number == 9:
            return ("object", _text(value))
        if number == 11:
            return ("type", _type(_bytes(value)))
        if number == 14:
            parameters = [_type(_bytes(v)) for n, v in wire.fields(_bytes(value)) if n == 2]
            return ("opaque", _one(_bytes(value), 1).decode(), *parameters)
    return DYN


def _node(data: bytes) -> Node:
    identity = 0
    made: Node = Const(0, None)
    for number, value in wire.fields(data):
        if number == 2:
            identity = int(value)
        elif number in _KINDS:
            made = _KINDS[number](_bytes(value))
    made.id = identity
    return made


def _const(data: bytes) -> Node:
    for number, value in wire.fields(data):
        match number:
            case 2:
                return Const(0, bool(value))
            case 3:
                return Const(0, wire.signed(int(value)))
            case 4:
                return Const(0, Uint(value))
            case 5:
                return Const(0, wire.double(_bytes(value)))
            case 6:
                return Const(0, _text(value))
            case 7:
                return Const(0, _bytes(value))
    return Const(0, None)


def _ident(data: bytes) -> Node:
    return Ident(0, _one(data, 1).decode())


def _select(data: bytes) -> Node:
    parts = dict(wire.fields(data))
    return Select(0, _node(_bytes(parts[1])), _text(parts.get(2, b"")), bool(parts.get(3)))


def _call(data: bytes) -> Node:
    call = Call(0, "", None, [])
    for number, value in wire.fields(data):
        if number == 1:
            call.target = _node(_bytes(value))
        elif number == 2:
            call.function = _text(value)
        elif number == 3:
            call.args.append(_node(_bytes(value)))
    return call


def _list(data: bytes) -> Node:
    elements: list[Node] = []
    optional: set[int] = set()
    for number, value in wire.fields(data):
        if number == 1:
            elements.append(_node(_bytes(value)))
        elif isinstance(value, bytes):  # packed
            optional.update(value)
        else:
            optional.add(value)
    return ListNode(0, elements, frozenset(optional))


def _struct(data: bytes) -> Node:
    struct = StructNode(0, "", [])
    for number, value in wire.fields(data):
        if number == 1:
            struct.name = _text(value)
            continue
        parts = dict(wire.fields(_bytes(value)))
        key = _node(_bytes(parts[3])) if 3 in parts else _text(parts.get(2, b""))
        struct.entries.append(Entry(key, _node(_bytes(parts.get(4, b""))), bool(parts.get(5))))
    return struct


def _comprehension(data: bytes) -> Node:
    parts = {number: _bytes(value) for number, value in wire.fields(data)}
    nodes = [_node(parts.get(number, b"")) for number in (2, 4, 5, 6, 7)]
    names = [parts.get(number, b"").decode() for number in (1, 8, 3)]
    return Comprehension(0, names[0], names[1], nodes[0], names[2], *nodes[1:])


_KINDS = {
    3: _const,
    4: _ident,
    5: _select,
    6: _call,
    7: _list,
    8: _struct,
    9: _comprehension,
}


def _bytes(value: wire.Value) -> bytes:
    if isinstance(value, bytes):
        return value
    raise wire.WireError("a message was expected")


def _text(value: wire.Value) -> str:
    return _bytes(value).decode()


def _one(data: bytes, wanted: int) -> bytes:
    return next((_bytes(value) for number, value in wire.fields(data) if number == wanted), b"")


def _entry(value: wire.Value) -> tuple[int, bytes]:
    parts = dict(wire.fields(_bytes(value)))
    return int(parts.get(1, 0)), _bytes(parts.get(2, b""))
