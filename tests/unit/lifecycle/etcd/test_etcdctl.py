"""Changing etcd's members while it does not take them for connected yet."""

from __future__ import annotations

import pytest

from kdist.lifecycle.etcd.etcdctl import SETTLE_SECONDS, EtcdctlError, settled

UNHEALTHY = "etcdctl member add cp4: etcdserver: unhealthy cluster"


class Cluster:
    """Refuses changes until a moment of a clock that only waiting moves."""

    def __init__(self, until: float, message: str = UNHEALTHY) -> None:
        self.now, self.changes = 0.0, 0
        self._until, self._message = until, message

    def change(self) -> None:
        if self.now < self._until:
            raise EtcdctlError(self._message)
        self.changes += 1

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_change_waits_until_a_member_that_was_started_again_counts_as_connected() -> None:
    cluster = Cluster(until=5)
    settled(cluster.change, cluster.clock, cluster.sleep)
    assert cluster.changes == 1
    assert cluster.now == 5


def test_members_that_stay_apart_are_told_after_a_while() -> None:
    cluster = Cluster(until=float("inf"))
    with pytest.raises(EtcdctlError, match="unhealthy cluster"):
        settled(cluster.change, cluster.clock, cluster.sleep)
    assert SETTLE_SECONDS < cluster.now <= SETTLE_SECONDS + 1


def test_any_other_refusal_is_told_at_once() -> None:
    cluster = Cluster(until=5, message="etcdctl member add cp4: Peer URLs already exists")
    with pytest.raises(EtcdctlError, match="already exists"):
        settled(cluster.change, cluster.clock, cluster.sleep)
    assert cluster.now == 0
