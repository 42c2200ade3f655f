"""The audit policy: which rule a request meets, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdist.apiserver import requestinfo
from kdist.apiserver.audit import policy
from kdist.apiserver.audit.policy import Policy
from kdist.apiserver.authn.user import User

ALICE = User("alice", groups=("dev", "system:authenticated"))
HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


def extent(rule: dict[str, Any], method: str, path: str, query: bytes = b"") -> int:
    made = Policy({"rules": [{"level": "Metadata", **rule}]})
    info, _ = requestinfo.read(method, path, query)
    return made.extent(ALICE, info).level


POD = "/api/v1/namespaces/x/pods/a"


@pytest.mark.parametrize(
    ("rule", "path", "fits"),
    [
        ({}, POD, True),
        ({"users": ["alice"]}, POD, True),
        ({"users": ["bob"]}, POD, False),
        ({"userGroups": ["ops", "dev"]}, POD, True),
        ({"userGroups": ["ops"]}, POD, False),
        ({"verbs": ["get"]}, POD, True),
        ({"verbs": ["list"]}, POD, False),
        ({"namespaces": ["x"]}, POD, True),
        ({"namespaces": ["y"]}, POD, False),
        ({"namespaces": [""]}, "/api/v1/nodes/n", True),
        ({"namespaces": ["x"]}, "/healthz", False),
        ({"resources": [{"group": ""}]}, POD, True),
        ({"resources": [{"group": "apps"}]}, POD, False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, POD, True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, f"{POD}/log", False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["*/status"]}]}, f"{POD}/log", False),
        ({"resources": [{"group": "", "resources": ["*"]}]}, f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]}, POD, True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["b"]}]}, POD, False),
        ({"nonResourceURLs": ["/healthz*"]}, "/healthz/ping", True),
        ({"nonResourceURLs": ["/livez"]}, "/healthz", False),
        ({"nonResourceURLs": ["*"]}, "/version", True),
        ({"nonResourceURLs": ["*"]}, POD, False),
    ],
)
def test_a_rule_is_about_what_it_names(rule: dict[str, Any], path: str, fits: bool) -> None:
    assert extent(rule, "GET", path) == (policy.METADATA if fits else policy.NONE)


def test_the_first_rule_that_fits_decides() -> None:
    made = Policy({"rules": [{"level": "None", "users": ["alice"]}, {"level": "Request"}]})
    info, _ = requestinfo.read("GET", POD, b"")
    assert made.extent(ALICE, info).level == policy.NONE
    assert made.extent(None, info).level == policy.REQUEST


def test_stages_to_omit_add_up_and_managed_fields_are_the_rules_own() -> None:
    rule = {"level": "Metadata", "omitStages": ["Panic"], "omitManagedFields": False}
    made = Policy({"rules": [rule], "omitStages": ["RequestReceived"], "omitManagedFields": True})
    info, _ = requestinfo.read("GET", POD, b"")
    found = made.extent(ALICE, info)
    assert found.omitted == {"Panic", "RequestReceived"}
    assert not found.without_managed_fields


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [{level: Metadata}]", "apiVersion, kind: Invalid value"),
        (HEAD, "rules: Required value"),
        (HEAD + "rules: [{}]", "rules[0].level: Required value"),
        (HEAD + "rules: [{level: All}]", 'rules[0].level: Unsupported value: "All"'),
        (HEAD + "rules: [{level: None, nonResourceURLs: [x]}]", "rules[0].nonResourceURLs[0]: Invalid value"),
        (
            HEAD + "rules: [{level: None, nonResourceURLs: [/a*/b]}]",
            "wildcards '*' must be the final character",
        ),
        (
            HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [x]}]",
            "cannot apply to both regular resources and non-resource URLs",
        ),
        (
            HEAD + "rules: [{level: None, resources: [{group: rbac/v1}]}]",
            'rules[0].resources[0].group: Invalid value: "rbac/v1"',
        ),
        (
            HEAD + "rules: [{level: None, resources: [{resourceNames: [x]}]}]",
            "rules[0].resources[0].resourceNames: Invalid value",
        ),
        (HEAD + "omitStages: [Late]\nrules: [{level: None}]", 'omitStages[0]: Invalid value: "Late"'),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_the_field_and_the_reason(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match="--audit-policy-file") as refused:
        policy.load(file)
    assert str(file) in str(refused.value)
    assert told in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        policy.load(tmp_path / "none.yaml")
