"""Room in etcd's database: free pages given back one member at a time, and the alarm of a full quota mended.

A member that is defragmented answers nobody. So it is done when all others run, to one at a time, and a leader first
lets another lead. A full database is mended by forgetting old revisions, giving back their pages, and only then
clearing the alarm: etcd raises it again at once when its file is still too large.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdist.lifecycle.etcd.etcdctl import Etcdctl
from kdist.lifecycle.etcd.members import Endpoint, Member

# An alarm is cleared when at least this share of the quota is free; else it would be back within minutes.
ROOM_SHARE = 0.05
CATCH_UP_SECONDS = 120
# Upstream never renamed where nodes lie.
OLD_NAMES = {"minions": "nodes"}


class NotNow(Exception):
    """It would cost the cluster its quorum, or would not help; the text says what to do first."""


@dataclass(frozen=True, slots=True)
class Defragmented:
    """Sizes in bytes."""

    member: str
    before: int
    after: int
    seconds: float
    led: bool


def order(members: Sequence[Member], running: dict[int, Endpoint]) -> list[Member]:
    """Followers by name, the leader last. Raises NotNow."""
    if down := [m.name or "one that has not started" for m in members if m.id not in running]:
        raise NotNow(
            f"{', '.join(down)} does not run: while a member is defragmented it answers nobody, and two silent members "
            "may cost the quorum. Bring it back first"
        )
    if learners := [m.name for m in members if m.learner]:
        raise NotNow(f"{', '.join(learners)} is joining: wait until it votes")
    leader = next((e.leader for e in running.values() if e.leader), 0)
    return sorted(members, key=lambda m: (m.id == leader, m.name))


def observe(etcd: Etcdctl) -> tuple[list[Member], dict[int, Endpoint]]:
    """Every member, and what those that run tell. Raises EtcdctlError."""
    members = etcd.members()
    running = {}
    for member in members:
        for url in member.client_urls[:1]:
            if found := etcd.try_status(url):
                running[member.id] = found
    return members, running


def defragment(etcd: Etcdctl, name: str) -> dict[str, Any]:
    """Give the free pages of one member back, when all others run. Raises NotNow, EtcdctlError."""
    members, running = observe(etcd)
    ordered = order(members, running)
    mine = next((m for m in ordered if m.name == name), None)
    if mine is None:
        raise NotNow(f"{name} is no member of etcd")
    led = running[mine.id].leader == mine.id
    if led and len(ordered) > 1:
        etcd.move_leader(mine.client_urls[0], ordered[0])
    began = time.monotonic()
    etcd.defragment(mine.client_urls[0])
    took = time.monotonic() - began
    _caught_up(etcd, mine)
    after = etcd.status(mine.client_urls[0])
    return asdict(Defragmented(name, running[mine.id].size, after.size, round(took, 2), led))


def _caught_up(etcd: Etcdctl, member: Member) -> None:
    """Wait until it has applied what the others had when it was done."""
    wanted = max(e.committed for e in observe(etcd)[1].values())
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        status = etcd.try_status(member.client_urls[0])
        if status and status.applied >= wanted:
            return
        if time.monotonic() > deadline:
            raise NotNow(
                f"{member.name} did not catch up within {CATCH_UP_SECONDS} s: look at it before you go on"
            )
        time.sleep(0.2)


def compact(etcd: Etcdctl, revision: int = 0) -> dict[str, Any]:
    """Forget all revisions before ``revision``, 0: before the newest."""
    newest = revision or etcd.revision()
    etcd.compact(newest)
    return {"revision": newest}


def disarm(etcd: Etcdctl, quota: int) -> dict[str, Any]:
    """Clear the alarms when every member has room again. Raises NotNow."""
    _, running = observe(etcd)
    most = max(e.size for e in running.values())
    if most > (1 - ROOM_SHARE) * quota:
        raise NotNow(
            f"the data itself fills {most >> 20} of {quota >> 20} MiB: raise kdist_etcd_quota_mib (and run site.yml), "
            "or delete objects (deleting still works; `kdist etcd alarms` counts them), then mend again"
        )
    etcd.disarm()
    return {"size": most, "quota": quota}


def resources(sizes: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Resource, objects and bytes, most bytes first, from the keys of API servers."""
    objects: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for key, size in sizes:
        objects[_resource(key)] += 1
        total[_resource(key)] += size
    return [(resource, objects[resource], size) for resource, size in total.most_common()]


def _resource(key: str) -> str:
    parts = key.split("/")
    if len(parts) < 4 or parts[1] != "registry":
        return "(others)"
    # /registry/PLURAL/... or /registry/GROUP/PLURAL/...; a group has a dot, or is one of the old ones without
    return f"{parts[3]}.{parts[2]}" if "." in parts[2] else OLD_NAMES.get(parts[2], parts[2])
