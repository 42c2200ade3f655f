"""Quantities, selectors, pods and metadata as every component reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kdist.api import meta, pods, quantity, selectors


@pytest.mark.parametrize(
    ("written", "stored", "milli"),
    [
        ("0.5", "500m", 500),
        ("1000m", "1", 1000),
        ("1024Mi", "1Gi", 1024**3 * 1000),
        ("0.5Gi", "512Mi", 512 * 1024**2 * 1000),
        ("1500k", "1500k", 1500_000_000),
        ("1.5G", "1500M", 1_500_000_000_000),
        ("1e3", "1e3", 1_000_000),
        ("0.1n", "1n", 1),
        ("0", "0", 0),
        (2, "2", 2000),
    ],
)
def test_quantities_have_one_stored_form(written: str, stored: str, milli: int) -> None:
    assert quantity.canonical(written) == stored
    assert quantity.milli(written) == milli
    assert quantity.parse(stored) == quantity.parse(written)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1e999", "9223372036854775807"),
        ("1e2000000000", "9223372036854775807"),
        ("1e-2000000000", "1e-9"),
        ("9" * 5000, "9223372036854775807"),
        ("0." + "0" * 3000 + "1e3001", "1"),
    ],
)
def test_a_huge_exponent_is_no_trouble(written: str, stored: str) -> None:
    assert quantity.canonical(written) == stored


@pytest.mark.parametrize("text", ["", "1x", "Gi", "1.2.3", "1 Gi", "--1"])
def test_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        quantity.parse(text)


def test_sums_keep_the_style_of_the_first_operand() -> None:
    assert quantity.add("1Gi", "512Mi") == "1536Mi"
    assert quantity.subtract("1", "250m") == "750m"
    assert quantity.format(Decimal("0.25")) == "250m"


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a in (x, y),!z", {"a": "y"}, True),
        ("a notin (x,y)", {}, True),
        ("a", {"b": "c"}, False),
        ("a>3,a<5", {"a": "4"}, True),
        ("a>3", {"a": "x"}, False),
        ("example.com/a=b", {"example.com/a": "b"}, True),
    ],
)
def test_label_selectors_match(text: str, labels: dict[str, str], matches: bool) -> None:
    assert selectors.parse_label_selector(text).matches(labels) is matches


@pytest.mark.parametrize("text", ["a=b c", "a in x", ",", "a>b", "-a=b"])
def test_malformed_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(selectors.SelectorError):
        selectors.parse_label_selector(text)


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.from_label_selector(None).matches({})
    assert selectors.from_label_selector({}).matches({"a": "b"})


def test_field_selectors_unescape_and_negate() -> None:
    selector = selectors.parse_field_selector(r"a=b\,c,d!=e")
    assert selector.matches({"a": "b,c"})
    assert not selector.matches({"a": "b,c", "d": "e"})
    assert selector.exact("a") == "b,c"


def test_a_node_selector_term_without_conditions_selects_no_node() -> None:
    node = {"metadata": {"name": "n", "labels": {"zone": "a"}}}
    expression = {"key": "zone", "operator": "In", "values": ["a"]}
    assert not selectors.match_node_selector_terms([{}], node)
    assert selectors.match_node_selector_terms([{}, {"matchExpressions": [expression]}], node)


def _container(cpu: str, **more: object) -> dict[str, object]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


def test_a_pod_requests_what_its_dearest_moment_needs() -> None:
    init = [_container("100m", restartPolicy="Always"), _container("2")]
    pod = {"spec": {"initContainers": init, "containers": [_container("500m")], "overhead": {"cpu": "50m"}}}
    assert pods.requests(pod) == {"cpu": 2150}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}},
            "Guaranteed",
        ),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.5"}}, "Burstable"),
    ],
)
def test_quality_of_service_follows_from_cpu_and_memory(resources: dict[str, object], expected: str) -> None:
    assert pods.qos_class({"spec": {"containers": [{"resources": resources}]}}) == expected


def test_a_condition_moves_its_time_only_with_its_status() -> None:
    obj: dict[str, object] = {}
    assert pods.set_condition(obj, "Ready", "False", "Waiting", now="2026-01-01T00:00:00Z")
    assert not pods.set_condition(obj, "Ready", "False", "Waiting", now="2026-01-01T00:00:01Z")
    assert pods.set_condition(obj, "Ready", "False", "Crashed", now="2026-01-01T00:00:02Z")
    condition = pods.get_condition(obj, "Ready")
    assert condition is not None
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_variable_references_expand_once() -> None:
    assert pods.expand("$(A)-$$(A)-$(B)", {"A": "1"}) == "1-$(A)-$(B)"


def test_a_toleration_without_key_covers_everything_only_if_it_exists() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    assert pods.tolerates([{"operator": "Exists"}], taint)
    assert not pods.tolerates([{"operator": "Equal"}], taint)
    assert not pods.tolerates([{"key": "k", "operator": "Exists", "effect": "NoExecute"}], taint)


def test_keys_split_into_namespace_and_name() -> None:
    assert meta.split_key(meta.key({"metadata": {"namespace": "a", "name": "b"}})) == ("a", "b")
    assert meta.split_key("b") == ("", "b")


def test_years_of_antiquity_have_four_digits():
    moment = meta.parse_time("0001-01-01T00:00:02.000000Z")
    assert meta.rfc3339(moment) == "0001-01-01T00:00:02Z"
    assert meta.rfc3339(moment, micro=True) == "0001-01-01T00:00:02.000000Z"
