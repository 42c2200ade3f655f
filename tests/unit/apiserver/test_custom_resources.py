"""Custom resources: shaping, judging, names, columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kdist.api.scheme import version_order
from kdist.apiserver.crd import checks, columns, jsonpath, shaping, status, values

Obj = dict[str, Any]
SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 2},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "at": {"type": "string", "format": "date-time"},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}


def _crd(name: str, kind: str, **spec: Any) -> Obj:
    names = {"plural": name, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {"metadata": {"name": name, "uid": name}, "spec": {"group": "g", "names": names, **spec}}


def _versioned(schema: Obj) -> Obj:
    return {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"},
        "conversion": {"strategy": "None"},
        "versions": [{"name": "v1", "storage": True, "schema": {"openAPIV3Schema": schema}}],
    }


def test_unknown_fields_go_and_are_named() -> None:
    obj = {"kind": "X", "metadata": {"name": "a"}, "spec": {"odd": 1, "free": {"kept": 1}}, "more": 2}
    assert sorted(shaping.prune(obj, SCHEMA).unknown) == ["more", "spec.odd"]
    assert obj == {"kind": "X", "metadata": {"name": "a"}, "spec": {"free": {"kept": 1}}}


def test_defaults_replace_what_is_missing_or_a_null_that_is_not_allowed() -> None:
    obj: Obj = {"spec": {"size": None}}
    shaping.default(obj, SCHEMA)
    assert obj == {"spec": {"size": 2, "mode": "a"}}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "Required value"),
        ({"size": "x"}, 'Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": 0}, "Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 1, "mode": "c"}, 'Unsupported value: "c": supported values: "a", "b"'),
        ({"size": 1, "port": True}, 'spec.port in body must be of type integer,string: "boolean"'),
        ({"size": 1, "at": "now"}, 'Invalid value: "now": spec.at in body must be of type date-time: "now"'),
    ],
)
def test_what_does_not_fit_the_schema_is_told_by_path(spec: Obj, told: str) -> None:
    (cause,) = values.check({"spec": spec}, SCHEMA)
    assert cause.message.endswith(told)


def test_a_schema_must_be_structural() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {"type": "array"}}}
    at = "spec.validation.openAPIV3Schema.properties"
    assert {c.field for c in checks.check(_versioned(schema))} == {f"{at}[a].type", f"{at}[b].items"}
    assert checks.check(_versioned(SCHEMA)) == []


def test_a_default_must_fit_its_own_schema() -> None:
    wrong = {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}
    (cause,) = checks.check(_versioned(wrong))
    assert cause.field == "spec.validation.openAPIV3Schema.properties[a].default"


def test_names_in_use_are_refused() -> None:
    first, second = _crd("things", "Thing"), _crd("others", "Thing")
    first["status"] = status.plan(first, [first, second])
    conditions = {c["type"]: c for c in status.plan(second, [first, second])["conditions"]}
    assert conditions["Established"]["status"] == "False"
    assert conditions["NamesAccepted"]["reason"] == "ListKindConflict"


def test_versions_are_ordered_by_stability() -> None:
    assert sorted(["v1beta1", "foo", "v1", "v2alpha1", "v10"], key=version_order) == [
        "v10", "v1", "v1beta1", "v2alpha1", "foo",
    ]  # fmt: skip


def test_columns_take_what_their_path_finds() -> None:
    version = {
        "additionalPrinterColumns": [
            {"name": "Ready", "type": "string", "jsonPath": '.status.c[?(@.type=="Ready")].status'},
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        ]
    }
    obj = {"metadata": {"name": "a"}, "status": {"c": [{"type": "Ready", "status": "True"}]}}
    assert columns.printer(version).cells(obj, datetime.now(UTC)) == ["a", "True", None]


def test_a_path_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected"):
        jsonpath.parse(".a[")
