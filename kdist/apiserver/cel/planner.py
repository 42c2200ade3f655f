"""Turns checked expressions into nested functions, one per node, that evaluate and count cost.

Costs follow upstream's tracker: an identifier and each selection cost one, calls as ``costs`` says, new lists and
maps ten and thirty, constants nothing. Folds (``folds``) check the limit in every round, so that no expression
runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdist.apiserver.cel import access, costs, folds, logic
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
)
from kdist.apiserver.cel.errors import CompileError, EvaluationError
from kdist.apiserver.cel.escaping import unescape
from kdist.apiserver.cel.library import FUNCTIONS
from kdist.apiserver.cel.program import Plan
from kdist.apiserver.cel.run import MISSING, Run
from kdist.apiserver.cel.types import DeclType
from kdist.apiserver.cel.values import Optional, Struct, TypeValue

Evaluate = logic.Evaluate
_CONVERSIONS = frozenset({"bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"})
_INDEXES = {"_[_]": False, "_?._": True, "_[?_]": True}


def plan(ast: Ast, variables: frozenset[str], objects: Mapping[str, DeclType]) -> Plan:
    """How to evaluate an expression. ``objects`` are the declared object types by name."""
    planner = _Planner(ast, tuple(sorted(variables)), objects)
    return Plan(planner.plan(ast.root), planner.variables, planner.places)


class _Planner:
    def __init__(self, ast: Ast, variables: tuple[str, ...], objects: Mapping[str, DeclType]) -> None:
        self._ast, self._objects = ast, objects
        self.variables = variables
        self.places = len(variables)
        self._scope = {name: at for at, name in enumerate(variables)}

    def plan(self, node: Node) -> Evaluate:
        """The function that evaluates a node."""
        constant = self._constant(node)
        if constant is not MISSING:
            return lambda _: constant
        match node:
            case Ident():
                return self._ident(node.name)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._list(node)
            case StructNode():
                return self._struct(node)
            case Comprehension():
                return self._fold(node)
        raise AssertionError(node)

    def _constant(self, node: Node) -> Any:
        """The value of a literal, or of a list or map of literals, which costs nothing; else MISSING."""
        if isinstance(node, Const):
            return node.value
        if isinstance(node, ListNode) and not node.optional:
            made = [self._constant(element) for element in node.elements]
            return MISSING if any(part is MISSING for part in made) else made
        if isinstance(node, StructNode) and not node.name and not any(e.optional for e in node.entries):
            pairs = [(self._constant(e.key), self._constant(e.value)) for e in node.entries]
            if any(MISSING in (key, value) for key, value in pairs):
                return MISSING
            try:
                return dict(pairs)
            except TypeError:
                return MISSING
        if isinstance(node, Call) and node.function in _CONVERSIONS and len(node.args) == 1:
            return self._converted(node)
        return MISSING

    def _converted(self, node: Call) -> Any:
        """A converted literal; one that cannot be converted makes no program."""
        value = self._constant(node.args[0])
        if value is MISSING or isinstance(node.args[0], Call):
            return MISSING
        try:
            return FUNCTIONS[node.function](value)
        except EvaluationError as error:
            raise CompileError(f"program instantiation failed: {error}") from error

    def _ident(self, name: str) -> Evaluate:
        name = name.removeprefix(".")
        place = self._scope.get(name)
        if place is None:
            made = TypeValue(name)
            return lambda _: made
        at = place

        def evaluate(run: Run) -> Any:
            run.cost += 1
            value = run.slots[at]
            if value is MISSING:
                raise EvaluationError(f"no such attribute(s): {name}")
            if isinstance(value, EvaluationError):
                raise value
            return value

        return evaluate

    def _field(self, node: Select) -> str:
        """The property's name: objects' are escaped, keys of maps are not."""
        return unescape(node.field) if self._ast.type_of(node.operand)[0] == "object" else node.field

    def _select(self, node: Select) -> Evaluate:
        resolved = self._ast.names.get(node.id)
        if resolved is not None:  # a name with dots
            return self._ident(resolved)
        operand, field = self.plan(node.operand), self._field(node)
        if node.test_only:
            return access.presence(operand, field, typed=self._ast.type_of(node.operand)[0] == "object")
        path: list[tuple[str, bool]] = []
        base: Node = node
        while isinstance(base, Select) and not base.test_only and base.id not in self._ast.names:
            path.append((self._field(base), self._ast.type_of(base.operand)[0] == "object"))
            base = base.operand
        cost = len(path) + (0 if _is_attribute(base) else 1)
        return access.chain(self.plan(base), tuple(reversed(path)), cost)

    def _call(self, node: Call) -> Evaluate:
        args = ([node.target] if node.target is not None else []) + node.args
        match node.function:
            case "_&&_":
                return logic.conjunction(self._terms("_&&_", node))
            case "_||_":
                return logic.disjunction(self._terms("_||_", node))
            case "_?_:_":
                return logic.conditional(*map(self.plan, args))
            case "@not_strictly_false":
                return logic.not_strictly_false(self.plan(args[0]))
            case "_==_":
                return logic.equality(self.plan(args[0]), self.plan(args[1]), wanted=True)
            case "_!=_":
                return logic.equality(self.plan(args[0]), self.plan(args[1]), wanted=False)
        if node.function in _INDEXES:
            cost = 1 if _is_attribute(args[0]) else 2
            optional = _INDEXES[node.function]
            select = node.function == "_?._" and self._ast.type_of(args[0])[0] == "object"
            key = self.plan(args[1])
            if select and isinstance(args[1], Const):
                name = unescape(args[1].value)
                key = lambda _: name  # noqa: E731
            return access.index(self.plan(args[0]), key, cost, optional=optional)
        if node.function == "@in" and (members := self._constant(args[1])) is not MISSING:
            return access.membership(self.plan(args[0]), members)
        return self._function(node, [self.plan(arg) for arg in args])

    def _terms(self, function: str, node: Node) -> list[Evaluate]:
        """The operands of a chain of the same operator: one function for all of them."""
        found: list[Node] = []
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Call) and one.function == function:
                waiting.extend(reversed(one.args))
            else:
                found.append(one)
        return [self.plan(one) for one in found]

    def _function(self, node: Call, args: list[Evaluate]) -> Evaluate:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise AssertionError(f"function {node.function} is declared but not made")
        overloads = self._ast.overloads.get(node.id, ())
        return logic.call(function, args, costs.of_call(node.function, overloads))

    def _list(self, node: ListNode) -> Evaluate:
        elements = [(self.plan(e), at in node.optional) for at, e in enumerate(node.elements)]

        def evaluate(run: Run) -> list[Any]:
            made: list[Any] = []
            for element, optional in elements:
                value = element(run)
                if not optional:
                    made.append(value)
                elif isinstance(value, Optional) and value.present:
                    made.append(value.value)
            run.charge(costs.LIST)
            return made

        return evaluate

    def _struct(self, node: StructNode) -> Evaluate:
        entries = [
            (self.plan(e.key) if isinstance(e.key, Node) else None, e.key, self.plan(e.value), e.optional)
            for e in node.entries
        ]
        name = node.name

        def evaluate(run: Run) -> Any:
            made: dict[Any, Any] = {}
            for key, literal, value, optional in entries:
                at = unescape(literal) if key is None else access.map_key(key(run))
                if at in made:
                    raise EvaluationError(f"Failed with repeated key: {at}")
                found = value(run)
                if not optional:
                    made[at] = found
                elif found.present:
                    made[at] = found.value
            run.charge(costs.STRUCT if name else costs.MAP)
            return Struct(name, made) if name else made

        return evaluate

    def _place(self) -> int:
        self.places += 1
        return self.places - 1

    def _fold(self, node: Comprehension) -> Evaluate:
        range_, init = self.plan(node.range), self.plan(node.accu_init)
        outer = self._scope
        self._scope = dict(outer)
        accu, first, second = self._place(), self._place(), -1
        self._scope[node.accu_var] = accu
        result = self.plan(node.result)
        self._scope[node.iter_var] = first
        if node.iter_var2:
            second = self._place()
            self._scope[node.iter_var2] = second
        fold = folds.Fold(range_, init, result, accu, first, second)
        made = self._known_fold(node, fold) or folds.generic(
            fold, self.plan(node.condition), self._step(node), absorbs=_absorbs(node)
        )
        self._scope = outer
        return made

    def _known_fold(self, node: Comprehension, fold: folds.Fold) -> Evaluate | None:
        """A loop of its own for ``all`` and ``exists``, which are most folds."""
        step = node.step
        if not isinstance(step, Call) or len(step.args) != 2 or not _absorbs(node):
            return None
        if not isinstance(step.args[0], Ident) or step.args[0].name != node.accu_var:
            return None
        if step.function == "_&&_":
            return folds.every(fold, self.plan(step.args[1]))
        return folds.some(fold, self.plan(step.args[1])) if step.function == "_||_" else None

    def _step(self, node: Comprehension) -> Evaluate:
        """The step; one that adds an element to the list so far does so in place."""
        return self._append(node, node.step)

    def _append(self, fold: Comprehension, step: Node) -> Evaluate:
        if isinstance(step, Call) and step.function == "_?_:_":
            parts = [self.plan(step.args[0])] + [self._append(fold, part) for part in step.args[1:]]
            return logic.conditional(*parts)
        if isinstance(step, Call) and step.function == "_+_" and len(step.args) == 2:
            before, added = step.args
            adds = isinstance(added, ListNode) and len(added.elements) == 1 and not added.optional
            if adds and isinstance(before, Ident) and before.name == fold.accu_var:
                assert isinstance(added, ListNode)
                return folds.append(self._scope[fold.accu_var], self.plan(added.elements[0]))
        return self.plan(step)


def _absorbs(node: Comprehension) -> bool:
    """Whether the fold goes on after an error, as a later element may decide."""
    return isinstance(node.condition, Call) and node.condition.function == "@not_strictly_false"


def _is_attribute(node: Node) -> bool:
    """Whether selecting from the node goes on with its look-up rather than starting one."""
    return isinstance(node, Ident | Select) or (
        isinstance(node, Call) and (node.function in _INDEXES or node.function == "_?_:_")
    )
