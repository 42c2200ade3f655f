"""When a node's certificate serves, and when it is renewed."""

import pytest

from kdist.agent.certificates import plan
from kdist.agent.certificates.plan import Found

DAY = 86400.0
SERVING = plan.serving("w1", ("10.0.0.9",))
FOUND = Found("system:node:w1", ("w1", "10.0.0.9"), 0.0, 100 * DAY)


def test_a_certificate_with_everything_it_should_have_serves() -> None:
    assert plan.fault(SERVING, FOUND, 50 * DAY) is None


@pytest.mark.parametrize(
    ("found", "now", "reason"),
    [
        (FOUND, 100 * DAY, "it has expired"),
        (Found("system:node:w2", ("w1", "10.0.0.9"), 0, DAY), 0, "it is of system:node:w2"),
        (Found("system:node:w1", ("w1",), 0, DAY), 0, "it does not name 10.0.0.9"),
    ],
)
def test_others_are_told_with_their_fault(found: Found, now: float, reason: str) -> None:
    assert plan.fault(SERVING, found, now) == reason


def test_renewal_is_spread_over_the_last_third_of_its_life_but_for_the_last_tenth() -> None:
    assert plan.renewal(FOUND, 0.0) == pytest.approx(70 * DAY)
    assert plan.renewal(FOUND, 1.0) == pytest.approx(90 * DAY)


def test_elliptic_keys_do_not_ask_to_encipher() -> None:
    assert plan.usages(plan.client("w1")) == ["digital signature", "client auth"]
