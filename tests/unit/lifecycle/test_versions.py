"""Which version may follow which."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kdist.lifecycle.versions import Version, Wanted, older, reported, site_problems, step_problem


def test_versions_are_ordered_as_numbers_and_candidates_come_before_releases() -> None:
    ordered = ["0.1.0", "0.2.0rc1", "0.2.0", "0.2.1", "0.10.0", "1.0.0"]
    parsed = [Version.parse(text) for text in ordered]
    assert all(one < other for one, other in pairwise(parsed))


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(ValueError, match="'next' is no version"):
        Version.parse("next")


@pytest.mark.parametrize(("now", "then"), [("0.1.0", "0.1.0"), ("0.1.0", "0.1.7"), ("0.1.0", "0.2.3")])
def test_a_patch_or_the_next_minor_may_follow(now: str, then: str) -> None:
    assert step_problem("kdist", now, then) is None


def test_no_minor_is_skipped_and_none_goes_back() -> None:
    assert "0.1.0 to 0.2 first, not 0.3.0" in str(step_problem("kdist", "0.1.0", "0.3.0"))
    assert "kdist upgrade rollback" in str(step_problem("kdist", "0.2.0", "0.1.0"))
    assert "1.32 to 1.33 first" in str(step_problem("API level", "1.32", "1.34"))
    assert "another major" in str(step_problem("kdist", "0.9.0", "1.0.0"))


def test_what_components_report_is_understood() -> None:
    assert reported("v1.32.0+kdist.0.1.0") == ("1.32", "0.1.0")
    assert reported("v1.33.0+kdist0.2.0") == ("1.33", "0.2.0")
    assert reported("v1.32.13") is None


def problems(bundle: str, release: str, *, upgrading: bool = False, level: str = "1.32") -> list[str]:
    observed = {"cp1": {"release": release, "api_level": level}, "w1": {}}
    found = site_problems(Wanted(bundle, "0.1.0", "1.32"), "0.1.0", observed, upgrading=upgrading)
    return [f"{host}: {reason}" for host, reason in found]


def test_the_same_version_and_an_empty_host_are_welcome() -> None:
    assert problems("0.1.0", "0.1.0") == []
    assert problems("0.1.0", "") == []


def test_an_older_bundle_is_refused_on_a_newer_cluster_even_in_an_upgrade() -> None:
    for upgrading in (False, True):
        (told,) = problems("0.1.0", "0.2.0", upgrading=upgrading)
        assert told.startswith("cp1: runs kdist 0.2.0, and this checkout's bundle is 0.1.0, which is older")


def test_a_newer_bundle_is_for_an_upgrade() -> None:
    assert "run `kdist upgrade apply`" in problems("0.2.0", "0.1.0")[0]
    assert problems("0.2.0", "0.1.0", upgrading=True) == []


def test_the_api_level_does_not_go_back_and_moves_by_an_upgrade() -> None:
    (told,) = problems("0.1.0", "0.1.0", level="1.33")
    assert told.startswith("cp1: serves API level 1.33, and kdist_api_level is 1.32, which is older")
    assert problems("0.1.0", "0.1.0", level="1.31", upgrading=True) == []


def test_a_checkout_older_than_the_one_that_made_the_bundle_is_refused() -> None:
    ((host, told),) = site_problems(Wanted("0.2.0", "0.2.0", "1.32"), "0.1.0", {}, upgrading=False)
    assert host == "all"
    assert (
        told == "this checkout is kdist 0.1.0, the bundle was made by 0.2.0: use a checkout of 0.2.0 or later"
    )


def test_older_compares_numbers() -> None:
    assert older("0.9.0", "0.10.0")
