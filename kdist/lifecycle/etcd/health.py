"""The state of etcd, judged from what control planes observe (:mod:`observing`). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kdist.lifecycle.etcd.members import Endpoint
from kdist.lifecycle.etcd.observing import DEFAULT_QUOTA

# A member is worth defragmenting when this much of its file is free pages, and not below this size.
WASTE_SHARE, WASTE_LEAST = 0.5, 64 << 20
# Above this share of the quota somebody should look.
QUOTA_WARNING = 0.8
DISK_LEAST = 512 << 20
Observation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend: what, and the command or step that mends it. ``serious``: the cluster suffers now."""

    text: str
    remedy: str
    serious: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One member as the operator sees it; None where nobody knows."""

    name: str
    id: int
    endpoint: str
    running: Endpoint | None
    leader: bool
    learner: bool


@dataclass(frozen=True, slots=True)
class Health:
    """The judged state of the whole cluster."""

    rows: tuple[Row, ...]
    quorum: bool
    findings: tuple[Finding, ...]


def judge(seen: Mapping[str, Observation | None], now: datetime) -> Health:
    """What the observations of all control planes mean; None for a host that could not be asked."""
    answers = {host: o for host, o in seen.items() if o is not None}
    quorum = any(o["quorum"] for o in answers.values())
    rows = _rows(answers, quorum)
    findings = [
        *(_unreachable(host) for host, o in seen.items() if o is None),
        *_quorum_findings(rows, quorum, answers),
        *_member_findings(rows, quorum, answers),
        *_ended_findings(rows, quorum, answers),
        *_alarm_findings(answers),
        *(f for host, o in answers.items() for f in _host_findings(host, o, now)),
    ]
    return Health(tuple(rows), quorum, tuple(dict.fromkeys(findings)))


def _unreachable(host: str) -> Finding:
    return Finding(f"{host} could not be asked", f"see that {host} is switched on and reachable over ssh")


def _endpoint(data: Mapping[str, Any] | None) -> Endpoint | None:
    return Endpoint(**{**data, "errors": tuple(data["errors"])}) if data else None


def _rows(answers: Mapping[str, Observation], quorum: bool) -> list[Row]:
    """Members as a host with a quorum lists them, else as the one with the longest history does."""
    if not answers:
        return []

    def rank(o: Observation) -> tuple[bool, int]:
        return bool(o["quorum"]), max((e["committed"] for e in o["endpoints"].values() if e), default=-1)

    best = max(answers.values(), key=rank)
    running: dict[int, Endpoint] = {}
    for o in (*answers.values(), best):
        for member, data in o["endpoints"].items():
            if found := _endpoint(data):
                running[int(member)] = found
    leaders = {e.leader for e in running.values() if e.leader} if quorum else set()
    return [
        Row(
            name=m["name"] or "(not started)",
            id=m["id"],
            endpoint=next(iter(m["client_urls"]), ""),
            running=running.get(m["id"]),
            leader=m["id"] in leaders,
            learner=m["learner"],
        )
        for m in sorted(best["members"], key=lambda m: str(m["name"]))
    ]


def _quorum_findings(rows: list[Row], quorum: bool, answers: Mapping[str, Observation]) -> list[Finding]:
    if quorum or not answers:
        return []
    if not rows:
        told = "; ".join(f"{host}: {o['error']}" for host, o in answers.items())
        return [
            Finding(
                f"etcd does not run on any control plane that answered: {told}",
                "see /var/log/pods/kube-system_etcd-*",
            )
        ]
    text = f"etcd has no quorum: of {len(rows)} members, {len([r for r in rows if r.running])} answer"
    silent = [row.name for row in rows if row.name not in answers]
    if len(silent) <= len(rows) // 2:
        return [Finding(text, "enough hosts answer: see /var/log/pods/kube-system_etcd-* there")]
    lost = ",".join(silent)
    return [Finding(text, f"bring {lost} back; if they are lost for good: kdist etcd recover --lost {lost}")]


def _member_findings(rows: list[Row], quorum: bool, answers: Mapping[str, Observation]) -> list[Finding]:
    found = []
    for row in rows:
        if row.running is None and not quorum:
            continue
        if row.running is None:
            found.append(
                Finding(
                    f"member {row.name} does not run",
                    f"see /var/log/pods/kube-system_etcd-{row.name}*, or rebuild {row.name} and run site.yml",
                )
            )
            continue
        if row.learner:
            found.append(
                Finding(
                    f"member {row.name} is a learner without a vote",
                    "run site.yml: it is promoted as soon as it has caught up",
                )
            )
        limit = min((o["quota"] for o in answers.values()), default=DEFAULT_QUOTA)
        if row.running.in_use > QUOTA_WARNING * limit:
            found.append(
                Finding(
                    f"member {row.name} uses {row.running.in_use >> 20} of {limit >> 20} MiB",
                    "see `kdist etcd alarms`; raise kdist_etcd_quota_mib or delete objects",
                )
            )
        elif wasteful(row.running):
            waste = (row.running.size - row.running.in_use) >> 20
            found.append(
                Finding(
                    f"{waste} MiB of member {row.name}'s file are free pages",
                    "kdist etcd defrag",
                    serious=False,
                )
            )
        found += [
            Finding(f"member {row.name}: {text}", "see `kdist etcd alarms`")
            for text in row.running.errors
            if quorum
        ]
    return found


def _ended_findings(rows: list[Row], quorum: bool, answers: Mapping[str, Observation]) -> list[Finding]:
    return [
        Finding(f"{host} has data of a membership that has ended", f"kdist etcd rejoin {host}")
        for host in ended(rows, quorum, answers)
    ]


def ended(rows: Iterable[Row], quorum: bool, answers: Mapping[str, Observation | None]) -> list[str]:
    """Hosts whose data is of no member any more: those that were lost, recovered from, and came back."""
    members = {row.name for row in rows}
    return [host for host, o in answers.items() if quorum and o and o["has_data"] and host not in members]


def wasteful(member: Endpoint) -> bool:
    """Whether defragmenting a member is worth its silence meanwhile."""
    return member.size >= WASTE_LEAST and (member.size - member.in_use) > WASTE_SHARE * member.size


def _alarm_findings(answers: Mapping[str, Observation]) -> list[Finding]:
    raised = {alarm for o in answers.values() for _, alarm in o["alarms"]}
    remedies = {
        "NOSPACE": ("the database reached its quota: nothing can be written", "kdist etcd alarms --mend"),
        "CORRUPT": (
            "members disagree about their data",
            "rebuild the member that differs, or restore a snapshot",
        ),
    }
    return [
        Finding(f"alarm {name}: {remedies[name][0]}", remedies[name][1])
        for name in sorted(raised & set(remedies))
    ]


def _host_findings(host: str, seen: Observation, now: datetime) -> list[Finding]:
    found = []
    kept = seen["snapshots"]
    if seen["disk_free"] is not None and seen["disk_free"] < DISK_LEAST:
        found.append(
            Finding(
                f"{host} has {seen['disk_free'] >> 20} MiB free where etcd writes",
                f"make room on {host}: etcd stops on a full disk",
            )
        )
    if kept["last"] and not kept["last"]["succeeded"]:
        found.append(
            Finding(
                f"the last snapshot on {host} failed: {kept['last']['error']}",
                "mend that, then: kdist etcd snapshot",
            )
        )
    found += [Finding(f"{host}: {fault}", f"remove it from {kept['directory']}") for fault in kept["faults"]]
    if not kept["list"]:
        found.append(Finding(f"{host} has no snapshot", "kdist etcd snapshot", serious=False))
    elif (age := now - newest(kept["list"])).days >= 1:
        found.append(
            Finding(
                f"the newest snapshot on {host} is {age.days} days old",
                f"see `systemctl status kdist-etcd-snapshot.timer` on {host}",
                serious=False,
            )
        )
    return found


def newest(manifests: list[dict[str, Any]]) -> datetime:
    """When the newest of some listed snapshots was taken."""
    return max(datetime.fromisoformat(m["time"]).astimezone(UTC) for m in manifests)


def to_json(health: Health, seen: Mapping[str, Observation | None]) -> dict[str, Any]:
    """For machines: members, findings, and the observations they come from."""
    return asdict(health) | {"hosts": dict(seen)}
