"""Flow control objects that are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kdist.apiserver.flowcontrol import defaults
from kdist.apiserver.registry.flowcontrol import level_causes, schema_causes

QUEUING = "spec.limited.limitResponse.queuing"


@pytest.mark.parametrize("obj", defaults.MANDATORY_LEVELS + defaults.SUGGESTED_LEVELS, ids=str)
def test_the_levels_of_the_release_are_right(obj: Any) -> None:
    assert list(level_causes(obj)) == []


@pytest.mark.parametrize("obj", defaults.MANDATORY_SCHEMAS + defaults.SUGGESTED_SCHEMAS, ids=str)
def test_the_schemas_of_the_release_are_right(obj: Any) -> None:
    assert list(schema_causes(obj)) == []


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("spec.type", "Exempt", "spec.type"),
        ("spec.type", "Other", "spec.type"),
        ("spec.limited", None, "spec.limited"),
        ("spec.exempt", {}, "spec.exempt"),
        ("spec.limited.nominalConcurrencyShares", -1, "spec.limited.nominalConcurrencyShares"),
        ("spec.limited.lendablePercent", 101, "spec.limited.lendablePercent"),
        ("spec.limited.borrowingLimitPercent", -1, "spec.limited.borrowingLimitPercent"),
        ("spec.limited.limitResponse.type", "Reject", QUEUING),
        (QUEUING, None, QUEUING),
        (f"{QUEUING}.queues", 0, f"{QUEUING}.queues"),
        (f"{QUEUING}.handSize", 200, f"{QUEUING}.handSize"),
        (f"{QUEUING}.handSize", 12, f"{QUEUING}.handSize"),
        (f"{QUEUING}.queueLengthLimit", 0, f"{QUEUING}.queueLengthLimit"),
    ],
)
def test_a_level_that_is_wrong_is_refused_at_its_field(path: str, value: Any, field: str) -> None:
    obj = copy.deepcopy(defaults.SUGGESTED_LEVELS[-1])
    *parents, last = path.split(".")
    holder = obj
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    assert field in {cause.field for cause in level_causes(obj)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"matchingPrecedence": 0}, "spec.matchingPrecedence"),
        ({"matchingPrecedence": 1}, "spec.matchingPrecedence"),
        ({"matchingPrecedence": 10001}, "spec.matchingPrecedence"),
        ({"distinguisherMethod": {"type": "ByName"}}, "spec.distinguisherMethod.type"),
        ({"priorityLevelConfiguration": {}}, "spec.priorityLevelConfiguration.name"),
        ({"rules": [{"nonResourceRules": [{}]}]}, "spec.rules[0].subjects"),
        ({"rules": [{"subjects": [{}]}]}, "spec.rules[0]"),
        ({"rules": [{"subjects": [{}], "resourceRules": [{}]}]}, "spec.rules[0].resourceRules[0].namespaces"),
    ],
)
def test_a_schema_that_is_wrong_is_refused_at_its_field(changes: dict[str, Any], field: str) -> None:
    obj = copy.deepcopy(defaults.SUGGESTED_SCHEMAS[-1])
    obj["spec"] |= changes
    assert field in {cause.field for cause in schema_causes(obj)}
