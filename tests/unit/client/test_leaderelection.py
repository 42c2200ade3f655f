from kdist.client.leaderelection import may_take, taken

LEASE = {
    "spec": {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "t0",
        "renewTime": "t0",
        "leaseTransitions": 3,
    }
}


def test_a_lease_is_taken_when_free_own_or_expired() -> None:
    assert may_take(None, "b", 0)
    assert may_take({"spec": {"holderIdentity": ""}}, "b", 0)
    assert may_take(LEASE, "a", 0)
    assert not may_take(LEASE, "b", 15)
    assert may_take(LEASE, "b", 15.1)


def test_a_renewal_keeps_acquire_time_and_transitions() -> None:
    spec = taken(LEASE, "a", 15, "t1")["spec"]
    assert (spec["acquireTime"], spec["renewTime"], spec["leaseTransitions"]) == ("t0", "t1", 3)


def test_a_change_of_holder_is_a_transition() -> None:
    spec = taken(LEASE, "b", 15, "t1")["spec"]
    assert (spec["holderIdentity"], spec["acquireTime"], spec["leaseTransitions"]) == ("b", "t1", 4)
    assert taken({}, "b", 15, "t1")["spec"]["leaseTransitions"] == 0
