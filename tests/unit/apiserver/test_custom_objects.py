"""Custom objects are judged and completed as upstream's server (1.32) does it.

The first line of ``corpora/objects.jsonl`` is a definition with every kind of rule. The others are writes of its
objects (``old`` is what was stored before) with upstream's answer: the causes, or the object's spec.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver.crd import definition, structural, values
from kdist.apiserver.crd.strategy import CustomResourceStrategy
from kdist.apiserver.validation.structure import conform

Obj = dict[str, Any]
CORPUS = Path(__file__).parent / "corpora" / "objects.jsonl"
DEFINITION, *ROWS = [json.loads(line) for line in CORPUS.read_text().splitlines()]


@pytest.fixture(scope="module")
def strategy(scheme: Scheme) -> CustomResourceStrategy:
    namespace = scheme.schema("v1", "Namespace")
    assert namespace is not None
    DEFINITION["status"] = {"acceptedNames": DEFINITION["spec"]["names"]}
    (served,) = definition.served(DEFINITION, namespace.properties["metadata"])
    return CustomResourceStrategy(served.resource, served.schema, served.version, ())


def _object(strategy: CustomResourceStrategy, spec: Any, **root: Any) -> Obj:
    metadata = {"name": "o", "namespace": "default"}
    obj: Obj = {
        "apiVersion": "corpus.example.com/v1",
        "kind": "Obj",
        "metadata": metadata,
        "spec": spec,
        **root,
    }
    obj = json.loads(json.dumps(obj))
    conform(obj, strategy.schema)
    strategy.default(obj)
    return obj


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_an_object_is_judged_as_upstream_judges_it(strategy: CustomResourceStrategy, row: Obj) -> None:
    new = _object(strategy, row["new"])
    if row["old"] is None:
        causes = strategy.validate(new)
    else:
        causes = strategy.validate_update(new, _object(strategy, row["old"]))
    assert {(c.field, c.reason) for c in causes} == {tuple(cause) for cause in row["causes"]}
    if not causes:
        assert new.get("spec") == row["spec"]


def test_a_fault_that_was_there_before_is_not_held_against_an_update(
    strategy: CustomResourceStrategy,
) -> None:
    old = _object(strategy, {"min": 3, "max": 2, "all": "bbbb", "atomic": ["b"], "map": {"a": 11}})
    assert (
        strategy.validate_update(_object(strategy, {**old["spec"], "enum": "a"}), old) != []
    )  # the spec's own rule
    del old["spec"]["max"]
    assert strategy.validate_update(_object(strategy, {**old["spec"], "enum": "a"}), old) == []
    assert strategy.validate_update(_object(strategy, {**old["spec"], "all": "cccc"}), old) != []


def test_messages_are_the_rules_own(strategy: CustomResourceStrategy) -> None:
    old = _object(strategy, {"grow": 3})
    (cause,) = strategy.validate_update(_object(strategy, {"grow": 2}), old)
    assert cause.message == 'Invalid value: "integer": shrinks'
    (cause,) = strategy.validate(_object(strategy, {"map": {"a": 10}}))
    assert (cause.field, cause.message) == ("spec.map[a]", 'Invalid value: "integer": ten')
    (cause,) = strategy.validate(_object(strategy, {"name": "rootbad"}))
    assert (cause.field, cause.message) == ("<nil>", 'Invalid value: "object": root says no to o')


FLAGGED = {"type": "string", "pattern": "^(?i)(abort|warn)?$"}


def test_patterns_have_the_syntax_of_re2() -> None:
    assert values.check("WARN", FLAGGED, "spec") == []
    (cause,) = values.check("never", FLAGGED, "spec")
    assert (cause.field, cause.reason) == ("spec", "FieldValueInvalid")
    assert cause.message.endswith("spec in body should match '^(?i)(abort|warn)?$'")
    assert structural.check({"type": "object", "properties": {"spec": FLAGGED}}, "schema") == []


def test_a_pattern_that_re2_does_not_have_is_refused_in_a_definition() -> None:
    lookahead = {"type": "object", "properties": {"spec": {"type": "string", "pattern": "a(?=b)"}}}
    (cause,) = structural.check(lookahead, "schema")
    assert cause.field == "schema.properties[spec].pattern"
    assert "must be a valid regular expression, but isn't: error parsing regexp" in cause.message


def test_a_stored_pattern_that_does_not_compile_fits_nothing() -> None:
    (cause,) = values.check("ab", {"type": "string", "pattern": "a(?=b)"}, "spec")
    assert "should match 'a(?=b), but pattern is invalid: error parsing regexp" in cause.message


def test_a_hostile_pattern_does_not_stop_the_server() -> None:
    assert values.check("a" * 50_000 + "b", {"type": "string", "pattern": "^(a+)+$"}, "spec")
