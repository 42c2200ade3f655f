import pytest

from kdist.agent.probes.handlers import port_number
from kdist.agent.probes.tally import Kind, Settings, Tally


def verdicts(kind, results, **probe):
    tally = Tally(Settings.of(kind, {"exec": {}, **probe}))
    found = []
    for ok in results:
        tally.add(ok)
        found.append(tally.verdict)
    return found


def test_results_in_a_row_make_a_verdict():
    assert verdicts(Kind.LIVENESS, [True, False, False, True, False, False, False]) == [
        True, True, True, True, True, True, False,
    ]  # fmt: skip
    assert verdicts(Kind.READINESS, [True, True], successThreshold=2) == [None, True]
    assert verdicts(Kind.STARTUP, [False], failureThreshold=1) == [False]


def test_a_container_that_was_never_ready_is_asked_sooner_than_its_period():
    tally = Tally(Settings.of(Kind.READINESS, {"periodSeconds": 10, "exec": {}}))
    pauses = []
    for _ in range(3):
        tally.add(False)
        pauses.append(tally.next_pause())
    assert pauses[:2] == [0.2, 0.4]
    assert max(pauses) <= 10
    tally.add(True)
    assert tally.next_pause() == 10


def test_ports_go_by_number_or_name():
    container = {"ports": [{"name": "web", "containerPort": 8080}]}
    assert (port_number(container, "web"), port_number(container, 81), port_number(container, "82")) == (
        8080, 81, 82,
    )  # fmt: skip
    with pytest.raises(ValueError, match="no port named"):
        port_number(container, "other")
