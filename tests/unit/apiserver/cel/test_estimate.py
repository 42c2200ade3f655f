"""What rules of definitions may cost by their schemas: the numbers of upstream's server."""

from typing import Any

import pytest

from kdist.apiserver.cel import Environment, estimate, types

Schema = dict[str, Any]


def element(kind: str) -> Schema:
    if kind == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    if kind in ("duration", "date", "date-time", "byte"):
        return {"type": "string", "format": kind}
    return {"type": kind}


def array(kind: str, most: int | None = None) -> Schema:
    return {"type": "array", "items": element(kind), **({} if most is None else {"maxItems": most})}


def mapping(kind: str, most: int | None = None) -> Schema:
    more = {} if most is None else {"maxProperties": most}
    return {"type": "object", "additionalProperties": element(kind), **more}


def text(most: int | None = None) -> Schema:
    return {"type": "string", **({} if most is None else {"maxLength": most})}


def nested(most: int | None = None) -> Schema:
    more = {} if most is None else {"maxProperties": most}
    return {"type": "object", "additionalProperties": text(most), **more}


ARRAYS: Schema = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}


@pytest.mark.parametrize(
    ("schema", "rule", "most"),
    [
        (array("number"), "self.all(x, true)", 4718591),
        (array("number", 10), "self.all(x, true)", 32),
        (array("string"), "self.all(x, true)", 3145727),
        (array("boolean"), "self.all(x, true)", 1887437),
        (ARRAYS, "self.all(x, true)", 3145727),
        (ARRAYS, "self[0][0] == -1.0", 3),
        (mapping("number"), "self.all(x, true)", 1348169),
        (mapping("number", 10), "self.all(x, true)", 32),
        (mapping("string"), "self.all(x, true)", 1179647),
        (mapping("duration"), "self.all(x, true)", 1048577),
        (mapping("date-time"), "self.all(x, true)", 349526),
        (mapping("int-or-string", 15), "self.all(x, true)", 47),
        (text(), "self.contains('test')", 314574),
        (text(10), "self.contains('test')", 5),
        (text(), "self.startsWith('test')", 2),
        (text(), 'size(self + "hello") > size("hello")', 314578),
        (text(4), 'size(self + "hello") > size("hello")', 7),
        (array("number"), "self[1] == 0.0", 2),
        (array("string"), "self[1] == self[1]", 314577),
        (array("number", 10), "self.all(x, self.all(y, true))", 352),
        (array("number", 10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
        (text(), 'self.matches("x")', 314574),
        (text(50), 'self.matches("x")', 22),
        (text(), '"".matches("(((((((((())))))))))[0-9]")', 7),
        (nested(), "self.all(x, x.contains(self[x]))", 2752507),
        (nested(10), "self.all(x, x.contains(self[x]))", 72),
        (text(), 'self == "x"', 2),
        (array("number"), "self.all(x, x == 0.0)", 6291454),
        (array("int-or-string"), "self.all(x, true)", 4718591),
        (array("int-or-string"), "self[0] == 5", 3),
        (array("boolean"), "self[0] == false", 2),
        (array("duration"), "self[0].getHours() == 2", 4),
        (array("date"), "self.all(x, true)", 725936),
        (array("date-time"), "self.all(x, true)", 428963),
    ],
)
def test_most_that_a_rule_costs(schema: Schema, rule: str, most: int) -> None:
    declared = types.from_schema(schema)
    assert declared is not None
    variables = {"self": declared}
    assert estimate.cost(Environment(variables).compile(rule), variables).most == most
