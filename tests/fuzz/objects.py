"""Objects of any published type with the values that nobody expects: empty, null, huge, negative, foreign."""

from __future__ import annotations

from random import Random
from typing import Any

from kdist.api.schema import Schema

_TEXTS = [
    "", "a", "b", "A_b", "x" * 300, "a/b", "\x00", "\N{LATIN SMALL LETTER E WITH ACUTE}", "1", "-1", "*",
    "-", "/", ".", "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/64", "Always", "Never", "TCP", "UDP", "http",
    "80", "50%", "150%", "$(X)", "../..", "2020-01-01T00:00:00Z", "0 0 * * *", "@daily", "1Gi", "1e999",
    "NaN", "{}", "[", "{.a", "a=b", "In", "Exists", "Utilization", "RollingUpdate", "ClusterIP",
    "ExternalName", "None", "kubernetes.io/x", "example.org/y", "v1", "apps/v1", "Pod", "cpu", "memory",
    "requests.cpu", "count/pods", "hugepages-2Mi", "self.x > 1", "object.spec", "eA==", "true",
]  # fmt: skip
_NUMBERS = [0, 1, -1, 2, 3, 80, 443, 65535, 65536, 3600, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63)]
_QUANTITIES = [
    "0",
    "1",
    "-1",
    "1.5",
    "100m",
    "1Gi",
    "1e3",
    "1E",
    "999999999999999999999",
    "0.0000001",
    1,
    0,
    "x",
    "",
]
_TIMES = [
    "2020-01-01T00:00:00Z",
    "2020-01-01T00:00:00.5+02:00",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    None,
]
_FREE: list[Any] = [None, {}, [], "x", 3, {"a": {"b": [1]}}, {"apiVersion": "v1", "kind": "Pod"}, True, 1.5]
MAX_DEPTH = 12


def hostile(schema: Schema, random: Random, depth: int = 0) -> Any:
    """A value of a type; null now and then."""
    if depth and random.random() < 0.06:
        return None
    match schema.kind:
        case "object":
            likely = 0.75 if depth < 3 else 0.35 if depth < MAX_DEPTH else 0.0
            fields = [
                name
                for name in schema.properties
                if random.random() < likely / (1 + len(schema.properties) / 25)
            ]
            return {name: hostile(schema.properties[name], random, depth + 1) for name in fields}
        case "map":
            inner = schema.items
            keys = random.sample(_TEXTS, random.randrange(3))
            return {key: hostile(inner, random, depth + 1) if inner else "x" for key in keys}
        case "array":
            inner = schema.items
            many = random.choice((0, 1, 1, 2, 3)) if depth < MAX_DEPTH else 0
            return [hostile(inner, random, depth + 1) if inner else "x" for _ in range(many)]
        case "string":
            return random.choice(_TEXTS)
        case "integer":
            return random.choice(_NUMBERS)
        case "number":
            return random.choice([*_NUMBERS, 0.5, -1e308])
        case "boolean":
            return random.random() < 0.5
        case "quantity":
            return random.choice(_QUANTITIES)
        case "int-or-string":
            return random.choice([*_NUMBERS, *_TEXTS])
        case "time" | "micro-time":
            return random.choice(_TIMES)
    return random.choice(_FREE)
