"""What an expression may cost, from its text and the declared types alone.

Sizes come from literals, from the schema (by the path from a variable) or are unknown; what is unknown may be as
large as 64 bits say. The rules are upstream's: the result decides whether a definition is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdist.apiserver.cel import callestimates
from kdist.apiserver.cel.ast import (
    Ast,
    Call,
    Comprehension,
    Const,
    Ident,
    ListNode,
    Node,
    Select,
    StructNode,
    Type,
)
from kdist.apiserver.cel.callestimates import Estimate
from kdist.apiserver.cel.costs import LIST, MAP, STRUCT
from kdist.apiserver.cel.program import Program
from kdist.apiserver.cel.ranges import ANY_SIZE, MOST, ONE, ZERO, Range, exactly
from kdist.apiserver.cel.types import DeclType

Path = tuple[str, ...]
_SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "type", "uint"})
_CONSTANT_EQUALITY = frozenset(
    {
        "net.IP",
        "net.CIDR",
        "kubernetes.Quantity",
        "kubernetes.authorization.Authorizer",
        "kubernetes.authorization.PathCheck",
        "kubernetes.authorization.GroupCheck",
        "kubernetes.authorization.ResourceCheck",
        "kubernetes.authorization.Decision",
    }
)
_INDEXES = {"list": "index_list", "map": "index_map"}
_EACH, _KEY, _VALUE = "@items", "@keys", "@values"


def cost(program: Program, variables: Mapping[str, DeclType]) -> Range:
    """The least and the most that one evaluation may cost."""
    return _Estimator(program.ast, variables).cost(program.ast.root)


@dataclass(slots=True)
class _Operand:
    owner: _Estimator
    type: Type
    path: Path = ()
    literal: Const | None = None
    known: Range | None = None

    def size(self) -> Range:
        return self.known or self.owner.declared_size(self.path) or _unknown(self.type)

    def element(self) -> _Operand | None:
        if self.type[0] != "list":
            return None
        return _Operand(self.owner, self.type[1], (*self.path, _EACH) if self.path else ())


def _unknown(kind: Type) -> Range:
    return ONE if kind[0] in _SCALARS else ANY_SIZE


@dataclass(slots=True)
class _Estimator:
    ast: Ast
    variables: Mapping[str, DeclType]
    paths: dict[int, Path] = field(default_factory=dict)
    sizes: dict[int, Range] = field(default_factory=dict)
    ranges: dict[str, list[Node]] = field(default_factory=dict)

    def cost(self, node: Node) -> Range:
        """The cost of a node and all below it."""
        match node:
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._sum(node.elements) + exactly(LIST)
            case StructNode():
                keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
                values = [entry.value for entry in node.entries]
                return self._sum(keys + values) + exactly(STRUCT if node.name else MAP)
            case Comprehension():
                return self._fold(node)
        return ZERO

    def declared_size(self, path: Path) -> Range | None:
        """The size that the declared types allow at a path."""
        declared = self._declared(path)
        return None if declared is None else Range(0, declared.max_elements)

    def _kind(self, node: Node) -> str:
        """The kind of a node's type: the declared one where the checker knows no better (lists of lists)."""
        kind: str = self.ast.type_of(node)[0]
        if kind != "dyn":
            return kind
        declared = self._declared(self.paths.get(node.id, ()))
        return kind if declared is None else declared.kind

    def _declared(self, path: Path) -> DeclType | None:
        if not path:
            return None
        declared: DeclType | None = self.variables.get(path[0])
        for name in path[1:]:
            if declared is None:
                return None
            if name in (_EACH, _VALUE):
                declared = declared.element
            elif name == _KEY:
                declared = declared.key
            else:
                declared = declared.fields.get(name)
        return declared

    def _sum(self, nodes: list[Node]) -> Range:
        total = ZERO
        for node in nodes:
            total = total + self.cost(node)
        return total

    def _ident(self, node: Ident) -> Range:
        ranges = self.ranges.get(node.name)
        if ranges:
            over = ranges[-1]
            kind = self._kind(over)
            if kind in ("list", "map"):
                self.paths[node.id] = (*self.paths.get(over.id, ()), _EACH if kind == "list" else _KEY)
        else:
            self.paths[node.id] = (node.name,)
        return ONE

    def _select(self, node: Select) -> Range:
        total = self.cost(node.operand)
        if node.test_only:
            return total
        if self._kind(node.operand) in ("map", "object"):
            total = total + ONE
        self.paths[node.id] = (*self.paths.get(node.operand.id, ()), node.field)
        return total

    def _operand(self, node: Node) -> _Operand:
        path = self.paths.get(node.id, ())
        if path and path[0].startswith(("@result", "__result__")):
            path = ()
        literal = node if isinstance(node, Const) else None
        known = self.sizes.get(node.id) or _literal_size(node)
        return _Operand(self, self.ast.type_of(node), path, literal, known)

    def _call(self, node: Call) -> Range:
        costs = [self.cost(arg) for arg in node.args]
        args = [self._operand(arg) for arg in node.args]
        overloads = self.ast.overloads.get(node.id, ())
        if not overloads:
            return ZERO
        if node.function == "_[_]" and (known := _INDEXES.get(self._kind(node.args[0]))):
            overloads = (known,)
        total, target = ZERO, None
        if node.target is not None:
            total = self.cost(node.target)
            target = self._operand(node.target)
        call, result = Range(MOST, 0), None
        for overload in overloads:
            made = self._overload(node, overload, target, args, costs)
            call = call.union(made.cost)
            if made.result is not None:
                result = made.result if result is None else result.union(made.result)
            if overload in ("index_list", "index_map"):
                step = _EACH if overload == "index_list" else _VALUE
                self.paths[node.id] = (*self.paths.get(node.args[0].id, ()), step)
        if result is not None:
            self.sizes[node.id] = result
        return total + call

    def _overload(
        self, node: Call, overload: str, target: _Operand | None, args: list[_Operand], costs: list[Range]
    ) -> Estimate:
        given = ZERO
        for cost in costs:
            given = given + cost
        match overload:
            case "logical_and" | "logical_or":
                return Estimate(Range(costs[0].least, given.most))
            case "conditional":
                size = args[1].size().union(args[2].size())
                return Estimate(costs[0] + costs[1].union(costs[2]), size)
        made = self._known(node.function, overload, target, args)
        return Estimate(made.cost + given, made.result)

    @staticmethod
    def _known(function: str, overload: str, target: _Operand | None, args: list[_Operand]) -> Estimate:
        if function == "_==_" and args[0].type == args[1].type and args[0].type[0] == "opaque":
            if args[0].type[1] in _CONSTANT_EQUALITY:
                return Estimate(ONE)
            if args[0].type[1] == "kubernetes.NamedFormat":
                return Estimate(Range(1, 64).scaled(0.1))
        estimator = callestimates.BY_FUNCTION.get(function) or callestimates.BY_OVERLOAD.get(overload)
        made = estimator(target, args) if estimator is not None else None
        return made or Estimate(ONE)

    def _fold(self, node: Comprehension) -> Range:
        total = self.cost(node.range) + self.cost(node.accu_init)
        over = self.ranges.setdefault(node.iter_var, [])
        over.append(node.range)
        rounds = self.cost(node.condition) + self.cost(node.step)
        over.pop()
        total = total + self.cost(node.result)
        count = self._operand(node.range).size()
        self.sizes[node.id] = count
        return total + count.times(rounds)


def _literal_size(node: Node) -> Range | None:
    match node:
        case Const():
            value: Any = node.value
            return exactly(len(value)) if isinstance(value, str | bytes) else ONE
        case ListNode():
            return exactly(len(node.elements))
        case StructNode() if not node.name:
            return exactly(len(node.entries))
    return None
