"""A lost quorum: which member goes on alone, and when that must not happen. Pure.

The danger is a second cluster: members that nobody can see may well see each other. So whoever does not answer must be
named as lost by the operator, and whoever answers is stopped before one of them goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """There is nothing to recover, or it would be dangerous; the text says what to do instead."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a member on a host that answers. ``last`` and ``term`` are 0 without a log that can be read."""

    has_data: bool
    quorum: bool = False
    last: int = 0
    last_term: int = 0
    commit: int = 0
    revision: int = 0
    error: str = ""

    @classmethod
    def from_json(cls, seen: Mapping[str, Any]) -> Remains:
        """From an observation of :func:`observing.observe`."""
        log = seen.get("log") or {}
        revisions = [e["revision"] for e in seen["endpoints"].values() if e]
        return cls(
            has_data=seen["has_data"],
            quorum=seen["quorum"],
            last=log.get("last", 0),
            last_term=log.get("last_term", 0),
            commit=log.get("commit", 0),
            revision=max(revisions, default=0),
            error=log.get("error", ""),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """``survivor`` goes on; ``others`` answer and join it again; ``gone`` are lost."""

    survivor: str
    others: tuple[str, ...]
    gone: tuple[str, ...]
    loss: str


def choose(remains: Mapping[str, Remains | None], lost: Collection[str]) -> Choice:
    """Who goes on. ``remains``: of every control plane, None for one that does not answer. Raises Refused."""
    if unknown := sorted(set(lost) - set(remains)):
        raise Refused(f"{', '.join(unknown)}: no control plane of the inventory has this name")
    _no_quorum(remains)
    _everybody_accounted_for(remains, lost)
    usable = {host: r for host, r in remains.items() if r is not None and r.has_data and r.last}
    if not usable:
        told = "; ".join(f"{host}: {r.error or 'no data'}" for host, r in remains.items() if r is not None)
        raise Refused(f"no member is left to go on ({told}): restore a snapshot with `kdist etcd restore`")
    majority = len(remains) // 2 + 1
    if len(usable) >= majority:
        raise Refused(
            f"{', '.join(usable)} have their data and are enough for a quorum of {len(remains)}: find out why etcd "
            "does not run there (/var/log/pods/kube-system_etcd-*); nothing has to be given up"
        )
    # As in an election: a later term wins, then a longer log. It holds all that any survivor knows to be committed.
    survivor = max(usable, key=lambda host: (usable[host].last_term, usable[host].last))
    others = tuple(h for h, r in remains.items() if r is not None and h != survivor)
    gone = tuple(h for h, r in remains.items() if r is None)
    return Choice(survivor, others, gone, _loss(survivor, usable[survivor]))


def _no_quorum(remains: Mapping[str, Remains | None]) -> None:
    if having := [host for host, r in remains.items() if r is not None and r.quorum]:
        raise Refused(
            f"etcd has a quorum ({', '.join(having)} can read and write): nothing is lost. "
            "A member that is down comes back with its host; rebuild it and run site.yml otherwise"
        )


def _everybody_accounted_for(remains: Mapping[str, Remains | None], lost: Collection[str]) -> None:
    if silent := [host for host, r in remains.items() if r is None and host not in lost]:
        raise Refused(
            f"{', '.join(silent)} cannot be asked: where they run and see each other, they may be the cluster. "
            "Switch them off or bring them back; when they are lost for good: "
            f"--lost {','.join(sorted({*lost, *silent}))}"
        )
    if present := [h for h in lost if (r := remains[h]) is not None and r.has_data and r.last]:
        raise Refused(f"{', '.join(present)} named as lost, but present with data: take them out of --lost")


def _loss(survivor: str, remains: Remains) -> str:
    kept = remains.last - remains.commit
    tail = (
        f"; of these, the last {kept} were not known to be committed and are kept all the same"
        if kept > 0
        else ""
    )
    return (
        f"{survivor} goes on with everything up to entry {remains.last} (term {remains.last_term}) of the log{tail}. "
        f"Lost is what only the lost members have: writes acknowledged while {survivor} was down or cut off from them"
    )
