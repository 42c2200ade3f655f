"""Variables of declared types: what the checker and the values are told by a schema."""

from typing import Any

import pytest

from kdist.apiserver.cel import CompileError, Environment, EvaluationError, types
from kdist.apiserver.cel.escaping import escape, unescape

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["replicas"],
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "a-b": {"type": "string"},
        "namespace": {"type": "string"},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
        "percent": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "nested": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "lists": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "maybe": {"type": "string", "nullable": True},
        "any": {"x-kubernetes-preserve-unknown-fields": True},
        "fooBar": {"type": "object", "additionalProperties": {"type": "string"}},
        "foo_bar": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
DECLARED = types.from_schema(SCHEMA, root=True)
assert DECLARED is not None
ENVIRONMENT = Environment({"self": DECLARED})
OBJECT = {
    "metadata": {"name": "n"},
    "replicas": 3,
    "ratio": 1,
    "a-b": "dash",
    "namespace": "ns",
    "set": ["a", "b"],
    "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}],
    "percent": "5%",
    "when": "2020-01-01T00:00:00Z",
    "day": "2020-01-01",
    "wait": "90s",
    "raw": "aGk=",
    "nested": [[1, 2], [3]],
    "lists": {"k": ["v"]},
    "labels": {"a-b": "c"},
    "maybe": None,
}


@pytest.mark.parametrize(
    "expression",
    [
        "self.metadata.name == 'n' && self.replicas == 3",
        "self.ratio == 1.0",
        "self.a__dash__b == 'dash' && self.__namespace__ == 'ns'",
        "self.set == ['b', 'a'] && self.set + ['b', 'c'] == ['a', 'b', 'c']",
        "self.ports == [self.ports[1], self.ports[0]]",
        "(self.ports + [self.ports[0]]).size() == 2",
        "type(self.percent) == string && self.percent.endsWith('%')",
        "self.when.getFullYear() == 2020 && self.day == self.when",
        "self.wait == duration('1m30s')",
        "self.raw == b'hi'",
        "self.nested[0].sum() == 3",
        "self.lists.all(k, self.lists[k].size() == 1)",
        "self.labels['a-b'] == 'c' && 'a-b' in self.labels",
        "!has(self.maybe) && !has(self.fooBar)",
    ],
)
def test_holds_for_a_value_of_the_schema(expression: str) -> None:
    assert ENVIRONMENT.compile(expression).evaluate({"self": types.bind(OBJECT, DECLARED)}) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("self.missing", "undefined field 'missing'"),
        ("self.any", "undefined field 'any'"),
        ("self.metadata.labels", "undefined field 'labels'"),
        ("self.replicas == '3'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.set.all(x, x > 1)", "found no matching overload for '_>_' applied to '(string, int)'"),
        (
            "self.ports.all(p, p.port == p.name)",
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
    ],
)
def test_schema_is_known_to_the_checker(expression: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    assert message in str(caught.value)


def test_value_that_does_not_fit_is_reported() -> None:
    assert DECLARED is not None
    with pytest.raises(EvaluationError, match="Invalid date-time formatted string soon"):
        types.bind({"when": "soon"}, DECLARED)


def test_sizes_are_bounded_by_the_schema_or_by_a_request() -> None:
    bounded = types.from_schema({"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 3}})
    assert bounded is not None and bounded.element is not None
    assert (bounded.max_elements, bounded.element.max_elements) == (5, 12)
    unbounded = types.from_schema({"type": "array", "items": {"type": "string"}})
    assert unbounded is not None
    assert unbounded.max_elements == (3 * 1024 * 1024 - 2) // 3


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("in", "__in__"),
    ],
)
def test_names_are_escaped_and_back(name: str, escaped: str) -> None:
    assert escape(name) == escaped and unescape(escaped) == name


def test_name_without_an_identifier_is_not_visible() -> None:
    assert escape("1a") is None and escape("a b") is None
