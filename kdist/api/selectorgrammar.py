"""The text of selectors, taken apart: upstream's grammar, with its words about what does not fit.

Label selectors: ``[!]KEY``, ``KEY OP VALUE`` with ``=``, ``==``, ``!=``, ``>``, ``<``, and ``KEY in (A,B)`` or
``notin``, joined by commas. ``in`` and ``notin`` are operators after a key and ordinary words elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# A text -> what is wrong with it, nothing when it is fine.
Rule = Callable[[str], list[str]]
Parsed = tuple[str, str, tuple[str, ...]]  # key, operator, values

_TOKEN = re.compile(r"==|!=|[=!(),<>]|[^=!(),<>\s]+")
_OPERATORS = {"in": "In", "notin": "NotIn", "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_LISTED = "in, notin, =, ==, !=, gt, lt"
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">"})
_END = ""
_KEY = re.compile(r"([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


class SelectorError(ValueError):
    """The selector does not parse."""


def key_rule(text: str) -> list[str]:
    """Whether a text can be a label key, in short."""
    fits = _KEY.fullmatch(text) and len(text.rpartition("/")[2]) <= 63
    return [] if fits else ["must be a qualified name"]


def value_rule(text: str) -> list[str]:
    """Whether a text can be a label value, in short."""
    return [] if len(text) <= 63 and _VALUE.fullmatch(text) else ["must be a valid label value"]


class LabelParser:
    """One label selector; :meth:`requirements` raises SelectorError."""

    def __init__(self, text: str, key: Rule = key_rule, value: Rule = value_rule) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), _END]
        self._at = 0
        self._key_rule, self._value_rule = key, value

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def requirements(self) -> Iterator[Parsed]:
        """The requirements in the order of the text."""
        while (token := self._peek()) != _END:
            if token in _SYMBOLS and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                yield self._requirement()
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from error
            token = self._take()
            if token == _END:
                return
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            token = self._peek()
            if token == _END or (token in _SYMBOLS and token != "!"):
                raise SelectorError(f"found '{token}', expected: identifier after ','")

    def _requirement(self) -> Parsed:
        absent = self._peek() == "!"
        if absent:
            self._take()
        key = self._take()
        if key in _SYMBOLS or key == _END:
            raise SelectorError(f"found '{key}', expected: identifier")
        if complaints := self._key_rule(key):
            raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(complaints)}')
        if absent:
            return key, "DoesNotExist", ()
        if self._peek() in (_END, ","):
            return key, "Exists", ()
        sign = self._take()
        if sign not in _OPERATORS:
            raise SelectorError(f"found '{sign}', expected: {_LISTED}")
        operator = _OPERATORS[sign]
        values = self._values() if sign in ("in", "notin") else {self._exact()}
        return key, operator, self._checked(key, operator, sorted(values))

    def _values(self) -> set[str]:
        token = self._take()
        if token != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        token = self._peek()
        if token == ")":
            self._take()
            return {""}
        if token == _END or (token in _SYMBOLS and token != ","):
            raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
        values = self._identifiers()
        self._take()  # the closing parenthesis
        return values

    def _identifiers(self) -> set[str]:
        """Values up to the closing parenthesis; between two commas there is an empty one."""
        values: set[str] = set()
        while True:
            token = self._take()
            if token == ",":
                if not values:
                    values.add("")
                if self._peek() == ")":
                    return values | {""}
                if self._peek() == ",":
                    self._take()
                    values.add("")
            elif token in _SYMBOLS or token == _END:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")
            else:
                values.add(token)
                if self._peek() == ")":
                    return values
                if self._peek() != ",":
                    raise SelectorError(f"found '{self._peek()}', expected: ',' or ')'")

    def _exact(self) -> str:
        if self._peek() in (_END, ","):
            return ""
        token = self._take()
        if token in _SYMBOLS:
            raise SelectorError(f"found '{token}', expected: identifier")
        return token

    def _checked(self, key: str, operator: str, values: list[str]) -> tuple[str, ...]:
        told = [
            f'values[{at}][{key}]: Invalid value: "{value}": {"; ".join(complaints)}'
            for at, value in enumerate(values)
            if (complaints := self._value_rule(value))
        ]
        if operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?[0-9]+", values[0]):
            complaint = "for 'Gt', 'Lt' operators, the value must be an integer"
            told.insert(0, f'values[0]: Invalid value: "{values[0]}": {complaint}')
        if told:
            raise SelectorError(told[0] if len(told) == 1 else f"[{', '.join(told)}]")
        return tuple(values)


def field_requirements(text: str) -> Iterator[tuple[str, str, bool]]:
    """(field, value, negated) of a field selector; a backslash escapes ``,``, ``=`` and itself. SelectorError."""
    for part in re.findall(r"(?:[^\\,]|\\.?)+", text, re.DOTALL):
        match = re.match(r"(.*?)(!=|==|=)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        yield match[1], _unescaped(part[match.end() :]), match[2] == "!="


def _unescaped(value: str) -> str:
    plain, rest = "", iter(value)
    for char in rest:
        if char == "\\":
            following = next(rest, "")
            if not following or following not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{following}")
            plain += following
        elif char == "=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            plain += char
    return plain
