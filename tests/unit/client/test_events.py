from kdist.api.meta import Obj
from kdist.client.events import Correlator, reference

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}


def event(number: int, message: str = "m", pod: str = "p") -> Obj:
    return {
        "metadata": {"name": f"p.{number}"},
        "involvedObject": {"kind": "Pod", "name": pod},
        "type": "Normal",
        "reason": "R",
        "message": message,
        "source": {"component": "c"},
        "lastTimestamp": str(number),
        "count": 1,
    }


def test_equal_events_are_counted_on_the_first() -> None:
    correlator = Correlator()
    correlator.correlate(event(1), 0)
    counted = correlator.correlate(event(2), 1)
    assert counted is not None
    assert (counted["metadata"]["name"], counted["count"], counted["lastTimestamp"]) == ("p.1", 2, "2")


def test_more_than_ten_similar_events_become_one() -> None:
    correlator = Correlator()
    written = [correlator.correlate(event(n, f"m{n}"), n) for n in range(15)]
    names = [w["metadata"]["name"] for w in written if w]
    assert len(set(names)) == 10
    last = written[-1]
    assert last is not None
    assert last["message"] == "(combined from similar events): m14"
    assert last["count"] == 6


def test_an_object_that_storms_is_silenced_without_silencing_others() -> None:
    correlator = Correlator()
    written = [correlator.correlate(event(n), 0) for n in range(30)]
    assert sum(w is not None for w in written) == 25
    assert correlator.correlate(event(31, pod="q"), 0) is not None
    assert correlator.correlate(event(32), 301) is not None, "one more after five minutes"


def test_a_reference_has_only_what_is_known() -> None:
    assert reference(POD, "spec.containers{a}") == {
        "kind": "Pod",
        "apiVersion": "v1",
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "fieldPath": "spec.containers{a}",
    }
