"""--runtime-config switches versions on and off; the more exact name wins."""

from __future__ import annotations

import pytest

from kdist.api.features import Features
from kdist.api.scheme import Scheme

POLICIES = ("admissionregistration.k8s.io", "v1alpha1", "mutatingadmissionpolicies")


def scheme(
    *pairs: str, gates: tuple[str, ...] = ("MutatingAdmissionPolicy=true",), level: str = "1.32"
) -> Scheme:
    return Scheme.load(level, features=Features.parse(level, gates), runtime_config=pairs)


def test_alpha_is_off_unless_switched_on() -> None:
    assert scheme().by_path(*POLICIES) is None
    for pair in ("admissionregistration.k8s.io/v1alpha1=true", "api/alpha=true", "api/all=true"):
        assert scheme(pair).by_path(*POLICIES) is not None


def test_the_gate_is_needed_as_well() -> None:
    assert scheme("api/all=true", gates=()).by_path(*POLICIES) is None


def test_the_more_exact_name_wins() -> None:
    served = scheme("api/alpha=true", "admissionregistration.k8s.io/v1alpha1=false")
    assert served.by_path(*POLICIES) is None
    one = "admissionregistration.k8s.io/v1alpha1/mutatingadmissionpolicies=true"
    served = scheme(one)
    assert served.by_path(*POLICIES) is not None
    assert served.by_path(*POLICIES[:2], "mutatingadmissionpolicybindings") is None


def test_a_stable_version_can_be_switched_off() -> None:
    assert scheme("apps/v1=false").by_path("apps", "v1", "deployments") is None
    assert scheme("api/ga=false").by_path("", "v1", "pods") is not None


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("nowhere.k8s.io/v1=true", "runtime-config nowhere.k8s.io/v1: this server has no such"),
        ("apps/v1=maybe", "runtime-config apps/v1: 'maybe' is neither true nor false"),
        ("v1=false", "runtime-config v1: the API server itself needs it"),
        (
            "rbac.authorization.k8s.io/v1/roles=false",
            "runtime-config rbac.authorization.k8s.io/v1/roles: the API",
        ),
    ],
)
def test_what_cannot_be_set_is_named(pair: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        scheme(pair)
    assert str(caught.value).startswith(told)


def test_service_ranges_are_served_from_the_newer_level_on() -> None:
    at = ("networking.k8s.io", "v1", "servicecidrs")
    assert scheme(gates=()).by_path(*at) is None
    assert scheme(gates=(), level="1.33").by_path(*at) is not None


def test_pods_can_be_resized_where_the_gate_is_on() -> None:
    def resizes(served: Scheme) -> bool:
        pods = served.by_path("", "v1", "pods")
        assert pods is not None
        return "resize" in pods.subresources

    assert not resizes(scheme(gates=()))
    assert resizes(scheme(gates=("InPlacePodVerticalScaling=true",)))
    assert resizes(scheme(gates=(), level="1.33"))
