"""etcd: members, quorum, alarms, disk, snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Host, Picture

Found = Iterator[tuple[Severity, Told]]
# etcd's hardware guide: the 99th percentile of a synchronised write to the log should be below 10 ms.
SLOW_SECONDS = 0.010
# etcd's own default, for members that do not tell theirs.
DEFAULT_QUOTA = 2 << 30
QUOTA_SHARE = 0.8
SNAPSHOT_AGE_HOURS = 24


def _members(picture: Picture) -> list[Mapping[str, Any]] | None:
    """The members as a control plane lists them; None when none of them can."""
    for host, facts in picture.answering:
        listed = facts["etcd"].get("members") if host.control_plane else None
        if isinstance(listed, Mapping) and "members" in listed:
            return list(listed["members"])
    return None


def _asked(picture: Picture) -> list[tuple[Host, Mapping[str, Any]]]:
    return [
        (host, facts["etcd"])
        for host, facts in picture.answering
        if host.control_plane and facts["etcd"].get("data")
    ]


@check("etcd-down")
def down(picture: Picture) -> Found:
    """Members that do not answer on a host that does."""
    for host, etcd in _asked(picture):
        status = etcd.get("status")
        if isinstance(status, Mapping) and "error" in status:
            yield error(
                host.name,
                "etcd does not answer",
                str(status["error"]),
                f"on {host.name}: tail /var/log/pods/kube-system_etcd-{host.name}_*/etcd/*.log",
            )


@check("etcd-quorum")
def quorum(picture: Picture) -> Found:
    """Whether members can decide anything at all."""
    planes = picture.control_planes
    # Members list each other without a quorum; that one leads is what they can only agree on with one.
    if not _asked(picture) or any(_leader(etcd) for _, etcd in _asked(picture)):
        return
    running = [host.name for host, etcd in _asked(picture) if isinstance(etcd.get("status"), list)]
    need = len(planes) // 2 + 1
    yield error(
        "etcd",
        "has no quorum: nothing can be written",
        f"{len(running)} of {len(planes)} members answer ({', '.join(running) or 'none'}); {need} are needed",
        _way_back([host.name for host, _ in _asked(picture)], [host.name for host in planes]),
    )


def _leader(etcd: Mapping[str, Any]) -> int:
    """The leader as one member knows it; 0 for none."""
    status = etcd.get("status")
    return int(status[0]["Status"].get("leader", 0)) if isinstance(status, list) and status else 0


def _way_back(answering: Sequence[str], planes: Sequence[str]) -> str:
    """Hosts that are away can come back; where enough answer, nothing has to be given up."""
    away = [name for name in planes if name not in answering]
    if len(away) <= len(planes) // 2:
        return (
            f"on {', '.join(answering)}: tail /var/log/pods/kube-system_etcd-*/etcd/*.log; kdist etcd status"
        )
    return f"bring {', '.join(away)} back; when they are lost for ever: kdist etcd recover --lost {','.join(away)}"


@check("etcd-member")
def members(picture: Picture) -> Found:
    """Control planes that are no member, members that are no control plane, learners."""
    listed = _members(picture)
    if listed is None:
        return
    named = {member.get("name", "") for member in listed}
    for host in picture.control_planes:
        if host.name not in named:
            yield error(
                host.name,
                "is not a member of etcd",
                f"members are {', '.join(sorted(named))}",
                f"ansible-playbook site.yml --limit {host.name}",
            )
    known = {host.name for host in picture.control_planes}
    for member in listed:
        name = member.get("name") or f"{int(member['ID']):x}"
        if member.get("name", "") not in known:
            yield warning(
                f"member {name}",
                "belongs to no control plane of the inventory",
                f"it was added at {', '.join(member.get('peerURLs', ()))}; it counts for the quorum",
                f"etcdctl member remove {int(member['ID']):x}, or add the host to kube_control_plane",
            )
        elif member.get("isLearner"):
            yield warning(
                f"member {name}",
                "is a learner: it has no vote",
                "its host joined and was not promoted",
                f"ansible-playbook site.yml --limit {name}",
            )


@check("etcd-alarm")
def alarms(picture: Picture) -> Found:
    """NOSPACE and CORRUPT, which stop all writing."""
    told = set()
    for _, etcd in _asked(picture):
        listed = etcd.get("alarms")
        for alarm in (listed.get("alarms") or []) if isinstance(listed, Mapping) else []:
            told.add((int(alarm.get("memberID", 0)), _alarm(alarm.get("alarm"))))
    for member, name in sorted(told):
        cause = "its database reached its quota" if name == "NOSPACE" else "members disagree about their data"
        mend = (
            "kdist etcd alarms --mend" if name == "NOSPACE" else "rebuild that member, or restore a snapshot"
        )
        yield error(f"member {member:x}", f"raised the alarm {name}: nothing can be written", cause, mend)


def _alarm(value: Any) -> str:
    return {1: "NOSPACE", 2: "CORRUPT"}.get(value, str(value))


@check("etcd-slow-disk")
def slow_disk(picture: Picture) -> Found:
    """Synchronised writes to etcd's log, as etcd itself has counted them since it started."""
    for host, etcd in _asked(picture):
        seconds = etcd.get("fsync_p99")
        if seconds is not None and seconds > SLOW_SECONDS:
            yield warning(
                host.name,
                "etcd's disk is slow",
                f"99% of its synchronised writes take up to {seconds * 1000:.0f} ms; etcd asks for less than 10",
                f"put /var/lib/etcd of {host.name} on a disk of its own, or find who else writes there (iotop -o)",
            )


@check("etcd-size")
def size(picture: Picture) -> Found:
    """Databases that near the quota."""
    for host, etcd in _asked(picture):
        status = etcd.get("status")
        if not isinstance(status, list):
            continue
        used, quota = status[0]["Status"].get("dbSize", 0), etcd.get("quota", DEFAULT_QUOTA)
        if used > QUOTA_SHARE * quota:
            yield warning(
                host.name,
                "etcd's database is near its quota",
                f"{used >> 20} of {quota >> 20} MiB",
                "kdist etcd defrag; what fills it: kubectl get --raw /metrics | grep apiserver_storage_objects",
            )


@check("etcd-snapshot")
def snapshots(picture: Picture) -> Found:
    """Snapshots that failed or are too old; only where a timer is to take them."""
    for host, facts in picture.answering:
        kept = facts.get("snapshots")
        if not host.control_plane or not isinstance(kept, Mapping) or not kept.get("scheduled"):
            continue
        last = kept.get("last") or {}
        if last and not last.get("succeeded", True):
            yield error(
                host.name,
                "the last etcd snapshot failed",
                str(last.get("error")),
                "mend that, then: kdist etcd snapshot",
            )
        newest = kept.get("newest")
        # Before the first one, the schedule's own age tells whether it is late.
        hours = (picture.now - (_time(newest) if newest else kept.get("since") or 0.0)) / 3600
        if hours > SNAPSHOT_AGE_HOURS:
            age = f"the newest, {newest}, is {hours:.0f} hours old" if newest else "there is none"
            yield warning(
                host.name,
                "etcd snapshots are too old",
                age,
                f"kdist etcd snapshot; on {host.name}: systemctl status kdist-etcd-snapshot.timer",
            )


def _time(name: str) -> float:
    """A snapshot's time, from its name."""
    found = re.match(r"(\d{8}T\d{6})Z", name)
    return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp() if found else 0.0
