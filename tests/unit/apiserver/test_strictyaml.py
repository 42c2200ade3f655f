"""YAML bodies: what they may hold, and what hostile ones cost."""

from __future__ import annotations

import itertools

import pytest
import yaml

from kdist.apiserver.validation import strictyaml
from kdist.apiserver.validation.strictyaml import load

_NINE = "abcdefghi"


def _doubling(pattern: str) -> bytes:
    lines = ["a: &a {x: 1, y: 2}"]
    for before, after in itertools.pairwise(_NINE):
        lines.append(f"{after}: &{after} " + pattern.format(",".join([f"*{before}"] * 9)))
    return "\n".join(lines).encode()


def test_values_are_those_of_json() -> None:
    text = b"a: 1\nb: [x, 2.5, true, ~, '3', 2020-01-01]\nc: {1: one, true: yes}\n"
    value, duplicates = load(text)
    assert value == {"a": 1, "b": ["x", 2.5, True, None, "3", "2020-01-01"], "c": {"1": "one", "true": True}}
    assert duplicates == []


def test_keys_that_repeat_are_told_and_the_last_one_counts() -> None:
    told = ['line 2: key "c" already set in map', 'line 3: key "a" already set in map']
    assert load(b"a: 1\nb: {c: 1, c: 2}\na: 3\n") == ({"a": 3, "b": {"c": 2}}, told)


def test_aliases_are_copies_and_merges_do_not_override() -> None:
    value, _ = load(b"a: &x {n: 1, m: [2]}\nb: *x\nc: {<<: *x, n: 5}\n")
    assert value == {"a": {"n": 1, "m": [2]}, "b": {"n": 1, "m": [2]}, "c": {"n": 5, "m": [2]}}
    assert value["a"] is not value["b"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_doubling("[{}]"), "excessive aliasing"),
        (_doubling("{{<<: [{}]}}"), "excessive aliasing"),
        (b"a: &a {b: *a}", "recursive alias"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\n".join(b" " * depth + b"a:" for depth in range(400)), "nested too deeply"),
        (b"a: !!python/object:os.system x", "tag"),
        (b"a: !!binary aGk=", "tag"),
        (b"a: .nan", "no number of JSON"),
        (b"a: " + b"9" * 5_000, "4300"),
        (b"? [a]\n: b", "key is text"),
        (b"a: 1\n---\nb: 2\n", "single document"),
        (b"a: [", "expected"),
        (b"\xff\xfe\x00", "UTF-16|unacceptable"),
        (b"[" + b"1," * (strictyaml.MAX_VALUES + 1) + b"]", "more than"),
    ],
)
def test_what_is_hostile_or_no_json_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(yaml.YAMLError, match=told):
        load(text)
