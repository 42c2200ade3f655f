from datetime import UTC, datetime

from kdist.api import meta, selectors
from kdist.client.clock import VirtualClock
from kdist.controllers.expectations import Expectations
from kdist.controllers.ownership import sort_out
from kdist.controllers.replicaset import plan
from tests.unit.controllers.builders import pod

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_the_pods_whose_loss_costs_least_go_first() -> None:
    crowded = [pod(f"crowd{n}", node="a") for n in range(2)]
    pods = [
        pod("old", node="b"),
        pod("young", node="c", created="2026-01-01T23:59:00Z"),
        pod("cheap", node="d", annotations={"controller.kubernetes.io/pod-deletion-cost": "-1"}),
        pod("sick", node="e", ready=False),
        pod("pending", node="f", phase="Pending", ready=False),
        pod("unassigned", phase="Pending", ready=False),
        *crowded,
    ]
    doomed = plan.plan(1, pods, pods, NOW).delete
    names = [meta.name(p) for p in doomed]
    assert names[:4] == ["unassigned", "pending", "sick", "cheap"]
    assert set(names[4:6]) == {"crowd0", "crowd1"}
    assert names[6] == "young"


def test_batches_double_and_add_up() -> None:
    assert list(plan.batches(10)) == [1, 2, 4, 3]
    assert list(plan.batches(0)) == []


def test_nothing_is_decided_before_the_cache_shows_the_last_writes() -> None:
    clock = VirtualClock()
    expectations = Expectations(clock.time)
    made, doomed = pod("made"), pod("doomed")
    expectations.created("ns/rs", made)
    expectations.deleted("ns/rs", doomed)
    expectations.saw(None, made)
    assert not expectations.satisfied("ns/rs")
    expectations.saw(doomed, pod("doomed", deleting=True))
    assert expectations.satisfied("ns/rs")
    expectations.created("ns/rs", pod("lost"))
    clock.advance(301)
    assert expectations.satisfied("ns/rs"), "a watch event that never came must not block for ever"


def test_an_event_may_overtake_the_answer_to_the_create() -> None:
    expectations = Expectations()
    with expectations.writing():
        expectations.saw(None, pod("p"))
        expectations.created("ns/rs", pod("p"))
    assert expectations.satisfied("ns/rs")


def test_orphans_that_match_are_adopted_and_strays_released() -> None:
    owner = {"metadata": {"name": "o", "namespace": "ns", "uid": "o"}}
    match = {"a": "b"}
    objects = [
        pod("mine", owner="o", labels=match),
        pod("stray", owner="o"),
        pod("orphan", labels=match),
        pod("going", labels=match, deleting=True),
        pod("foreign", owner="else", labels=match),
    ]
    claims = sort_out(owner, selectors.from_labels(match), objects)
    names = [[meta.name(o) for o in part] for part in (claims.keep, claims.adopt, claims.release)]
    assert names == [["mine"], ["orphan"], ["stray"]]
    owner["metadata"]["deletionTimestamp"] = "now"
    claims = sort_out(owner, selectors.from_labels(match), objects)
    assert (len(claims.keep), claims.adopt, claims.release) == (2, [], [])
