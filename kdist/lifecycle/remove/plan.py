"""May a host leave, and what goes with it? Pure: observations in, refusals and reports out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from kdist.api import meta, selectors
from kdist.api.meta import Obj
from kdist.lifecycle.etcd.members import Member, peer_url

MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Leaving:
    """One host that leaves. ``reachable``: over ssh; ``alive``: its agent reports to the cluster."""

    name: str
    address: str
    control_plane: bool
    reachable: bool
    alive: bool
    registered: bool = True


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the leaving host: who makes another one elsewhere, if anybody does."""

    key: str
    owner: str

    @property
    def lost(self) -> bool:
        """Nobody makes it again."""
        return not self.owner


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume whose data is on the leaving host and nowhere else."""

    name: str
    claim: str
    capacity: str
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Belongings:
    """What is bound to a node."""

    pods: tuple[Pod, ...] = ()
    volumes: tuple[Volume, ...] = ()
    attachments: tuple[str, ...] = ()
    requests: tuple[str, ...] = field(default=())
    """Certificate signing requests that the node made or that were made for it."""


def member_of(host: str, address: str, members: Iterable[Member]) -> Member | None:
    """The etcd membership of a host; one that never started has no name, only an address."""
    return next((m for m in members if peer_url(address) in m.peer_urls or m.name == host), None)


def refusals(
    leaving: Collection[Leaving],
    staying: Collection[str],
    members: Collection[Member],
    healthy: Collection[int],
) -> list[str]:
    """Why these control planes may not leave now. ``healthy``: ids of members that answer.

    etcd changes its members by majority, so the present majority must answer; and of those that stay, a majority of
    them must answer too, or the cluster would stand still the moment the others have left.
    """
    planes = [host for host in leaving if host.control_plane]
    if not planes:
        return []
    if not staying:
        return ["no control plane would be left; `kdist reset` takes a whole cluster away"]
    going = {m.id for host in planes if (m := member_of(host.name, host.address, members))}
    voters = [m for m in members if not m.learner]
    told = []
    if not _majority([m.id in healthy for m in voters]):
        answers = sum(m.id in healthy for m in voters)
        return [
            f"etcd has no quorum ({answers} of {len(voters)} members answer), so it cannot change its members: start "
            f"{_names(m for m in voters if m.id not in healthy)} first, or recover the quorum"
        ]
    kept = [m for m in voters if m.id not in going]
    if not _majority([m.id in healthy for m in kept]):
        down = _names(m for m in kept if m.id not in healthy)
        who = ", ".join(host.name for host in planes)
        told.append(
            f"without {who} etcd would lose its quorum: {down} does not answer, and {len(kept) // 2 + 1} of the "
            f"remaining {len(kept)} must; start {down}, or remove it instead"
        )
    return told


def _majority(answers: Collection[bool]) -> bool:
    return sum(answers) > len(answers) // 2


def _names(members: Iterable[Member]) -> str:
    return ", ".join(m.name or m.peer_urls[0] for m in members)


def in_order(
    leaving: Iterable[Leaving], members: Collection[Member], healthy: Collection[int]
) -> list[Leaving]:
    """Workers first; of control planes those whose etcd does not answer, so that each step keeps the quorum."""

    def rank(host: Leaving) -> int:
        if not host.control_plane:
            return 0
        member = member_of(host.name, host.address, members)
        return 2 if member is not None and member.id in healthy else 1

    return sorted(leaving, key=rank)


def reports(node: Obj) -> bool:
    """Whether a node's status is its agent's own: the cluster sets it to Unknown once that is silent."""
    conditions = meta.get(node, "status.conditions", ())
    return any(c.get("type") == "Ready" and c.get("status") in ("True", "False") for c in conditions)


def belongings(
    node: str,
    pods: Iterable[Obj],
    volumes: Iterable[Obj],
    attachments: Iterable[Obj],
    requests: Mapping[str, str],
    nodes: Iterable[Obj],
) -> Belongings:
    """What is bound to ``node``. ``requests``: name of each signing request to the node that it is about."""
    mine = [p for p in pods if meta.get(p, "spec.nodeName") == node]
    return Belongings(
        tuple(Pod(meta.key(p), _owner(p)) for p in mine if not _stays(p)),
        tuple(_only_here(node, volumes, list(nodes), mine)),
        tuple(meta.name(a) for a in attachments if meta.get(a, "spec.nodeName") == node),
        tuple(name for name, about in requests.items() if about == node),
    )


def _stays(pod: Obj) -> bool:
    """Of the host itself: static pods' mirrors and DaemonSets' pods go with it and are missed nowhere."""
    owner = meta.controller_of(pod) or {}
    return MIRROR in meta.annotations(pod) or owner.get("kind") in ("DaemonSet", "Node")


def _owner(pod: Obj) -> str:
    owner = meta.controller_of(pod)
    return f"{owner['kind']} {owner['name']}" if owner else ""


def _only_here(node: str, volumes: Iterable[Obj], nodes: list[Obj], pods: list[Obj]) -> Iterable[Volume]:
    for volume in volumes:
        terms = meta.get(volume, "spec.nodeAffinity.required")
        if terms is None:
            continue
        fit = [
            meta.name(n) for n in nodes if selectors.match_node_selector_terms(terms["nodeSelectorTerms"], n)
        ]
        if fit != [node]:
            continue
        ref = meta.get(volume, "spec.claimRef") or {}
        claim = f"{ref['namespace']}/{ref['name']}" if ref else ""
        users = tuple(meta.key(p) for p in pods if claim and claim in _claims(p))
        yield Volume(meta.name(volume), claim, meta.get(volume, "spec.capacity.storage", ""), users)


def _claims(pod: Obj) -> set[str]:
    named = (meta.get(v, "persistentVolumeClaim.claimName") for v in meta.get(pod, "spec.volumes", ()))
    return {f"{meta.namespace(pod)}/{name}" for name in named if name}


def report(host: Leaving, bound: Belongings) -> list[str]:
    """What the operator should know before; a line each."""
    told = []
    if not host.registered:
        told.append("is no node of the cluster (any more); what is left of it is cleared away")
    if not host.reachable:
        left = "its agent was alive a moment ago; " if host.alive else ""
        told.append(
            f"does not answer over ssh: {left}nothing on the host is changed; the cluster refuses its certificate from "
            "now on, and it comes back by site.yml only; reset it before it is used for something else"
        )
    moved = [pod for pod in bound.pods if not pod.lost]
    if moved:
        count = "1 pod is" if len(moved) == 1 else f"{len(moved)} pods are"
        how = "evicted" if host.alive else "given up, for the host is not there to end them,"
        told.append(f"{count} {how} and made again elsewhere by the controllers")
    for pod in bound.pods:
        if pod.lost:
            told.append(f"pod {pod.key} has no controller: it is lost")
    for volume in bound.volumes:
        whose = f"of claim {volume.claim}" if volume.claim else "without a claim"
        users = f", used by {', '.join(volume.used_by)}" if volume.used_by else ""
        told.append(
            f"volume {volume.name} ({volume.capacity}) {whose}{users} is on this host only: its data is lost; "
            "delete the claim to get an empty volume elsewhere, and the volume"
        )
    return told
