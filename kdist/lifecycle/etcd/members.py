"""The members of an etcd cluster, and what one control-plane host must do to be one of them. Pure.

The danger is a host that starts a second cluster beside the first, or that takes the quorum away by being added
before it runs. So a host forms a new cluster only when no control plane has data at all, and joins an existing
one as a learner, which has no vote until it has caught up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

PEER_PORT = 2380


@dataclass(frozen=True, slots=True)
class Member:
    """One member as etcd lists it. ``name`` is empty until it has started for the first time."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    learner: bool = False
    client_urls: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Member:
        """From an entry of ``etcdctl member list -w json``."""
        return cls(
            int(data["ID"]),
            data.get("name", ""),
            tuple(data["peerURLs"]),
            bool(data.get("isLearner", False)),
            tuple(data.get("clientURLs", ())),
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one running member tells about itself. ``leader`` is 0 without a quorum; sizes in bytes."""

    member: int
    cluster: int
    version: str
    revision: int
    leader: int
    term: int
    committed: int
    applied: int
    size: int
    in_use: int
    learner: bool = False
    errors: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Endpoint:
        """From an entry of ``etcdctl endpoint status -w json``."""
        status = data["Status"]
        header = status["header"]
        return cls(
            member=int(header["member_id"]),
            cluster=int(header["cluster_id"]),
            version=status.get("version", ""),
            revision=int(header.get("revision", 0)),
            leader=int(status.get("leader", 0)),
            term=int(status.get("raftTerm", 0)),
            committed=int(status.get("raftIndex", 0)),
            applied=int(status.get("raftAppliedIndex", 0)),
            size=int(status.get("dbSize", 0)),
            in_use=int(status.get("dbSizeInUse", 0)),
            learner=bool(status.get("isLearner", False)),
            errors=tuple(status.get("errors") or ()),
        )


class Step(Enum):
    """What a host does before its etcd is started."""

    KEEP = "keep"
    """It is a member and has its data."""
    FORM = "form"
    """No control plane has data: all of them form the cluster together."""
    ADD = "add"
    """Be added as a learner, then start."""
    REPLACE = "replace"
    """It is listed but its data is gone: its old membership ends first."""
    START = "start"
    """It was added and has not started yet."""
    SET_ASIDE = "set aside"
    """Its data is of a membership that has ended: put it aside, then be added."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``old`` is the membership that ends, for REPLACE; ``left_behind`` are learners whose hosts died as they joined.

    Those have no vote and stand in the way of every other one: their membership ends, and their hosts may join anew.
    """

    step: Step
    old: Member | None = None
    left_behind: tuple[Member, ...] = ()


class NoQuorum(Exception):
    """There is data, but nobody who could let this host in; the text says what to do."""


class Degraded(Exception):
    """A member is down, so that another one must not be added; the text says what to do."""


def peer_url(address: str) -> str:
    """The peer URL of a host's etcd."""
    return f"https://[{address}]:{PEER_PORT}" if ":" in address else f"https://{address}:{PEER_PORT}"


def plan(
    name: str,
    address: str,
    *,
    has_data: bool,
    members: Iterable[Member] | None,
    others_with_data: Collection[str],
    silent: Collection[int] = (),
) -> Plan:
    """What host ``name`` does. ``members``: as the other control planes list them, None when none of them answers.

    ``others_with_data``: names of other control planes that hold etcd data. ``silent``: ids of members that do not
    answer. Raises NoQuorum and Degraded.
    """
    if members is None:
        if has_data:
            return Plan(Step.KEEP)
        if others_with_data:
            raise NoQuorum(
                f"{', '.join(sorted(others_with_data))} may hold etcd data, but etcd does not answer there, so {name} "
                "can neither join nor form a cluster of its own; start etcd on them, or recover the quorum first"
            )
        return Plan(Step.FORM)
    mine = next((m for m in members if peer_url(address) in m.peer_urls or m.name == name), None)
    if mine is not None and has_data:
        return Plan(Step.KEEP)
    left_behind = tuple(m for m in members if m.learner and m is not mine)
    _check(name, [m for m in members if not m.learner and m is not mine], silent)
    if mine is None:
        return Plan(Step.SET_ASIDE if has_data else Step.ADD, None, left_behind)
    return Plan(Step.REPLACE if mine.name else Step.START, mine if mine.name else None, left_behind)


def _check(name: str, voters: Collection[Member], silent: Collection[int]) -> None:
    """One more voter raises the majority: with one of the others down, the next loss would stop the cluster."""
    down = [m.name or m.peer_urls[0] for m in voters if m.id in silent]
    if down:
        who = ", ".join(down)
        raise Degraded(
            f"etcd of {who} does not answer, and {name} would be member {len(voters) + 1} of a cluster that can lose "
            f"nobody any more. Start {who}, or take it out with `kdist remove {' '.join(down)}`, then run this again"
        )


def initial_cluster(peers: Mapping[str, str]) -> str:
    """The value of ``--initial-cluster``: ``peers`` is name to address."""
    return ",".join(f"{name}={peer_url(address)}" for name, address in peers.items())


def joined(members: Iterable[Member], name: str, address: str) -> str:
    """``--initial-cluster`` of a host that joins ``members``: every started one, and itself."""
    pairs = [f"{m.name}={url}" for m in members if m.name and m.name != name for url in m.peer_urls]
    return ",".join([*pairs, f"{name}={peer_url(address)}"])
