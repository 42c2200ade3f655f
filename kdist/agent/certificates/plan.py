"""What certificates a node has, whether one serves, and when it is renewed. Pure.

Names, usages and signers are what the approving controller demands of a node (kdist.controllers.certificates).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from kdist.pki.plan import BACKDATE

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
# Renewed when this part of its life is over, as upstream's agents do: spread, so that nodes which were made
# together do not ask together.
EARLIEST, LATEST = 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that the node must have. ``hosts``: DNS names and addresses, for servers."""

    name: str
    signer: str
    usage: str
    common_name: str
    organization: str = "system:nodes"
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a file. Times are seconds since the epoch."""

    common_name: str
    hosts: tuple[str, ...]
    not_before: float
    not_after: float
    present: bool = True
    """Whether the authority that issues certificates now has issued it."""


def client(node: str) -> Wanted:
    """The certificate with which the node's agent calls the API."""
    return Wanted("kubelet-client", CLIENT_SIGNER, "client auth", f"system:node:{node}")


def serving(node: str, addresses: Iterable[str]) -> Wanted:
    """The certificate of the agent's own port: the names under which the API server reaches it."""
    hosts = (node, *(str(ipaddress.ip_address(a)) for a in addresses))
    return Wanted("kubelet-server", SERVING_SIGNER, "server auth", f"system:node:{node}", hosts=hosts)


def fault(wanted: Wanted, found: Found, now: float) -> str | None:
    """Why a certificate does not serve, or None."""
    if found.common_name != wanted.common_name:
        return f"it is of {found.common_name}"
    if missing := sorted(set(wanted.hosts) - set(found.hosts)):
        return f"it does not name {', '.join(missing)}"
    if now >= found.not_after:
        return "it has expired"
    return None


def stale(found: Found, renew_issued_before: float) -> str | None:
    """Why a certificate that serves is renewed at once, or None."""
    if not found.present:
        return "another authority issues certificates now"
    if found.not_before + BACKDATE.total_seconds() < renew_issued_before:
        return "renewal was asked for"
    return None


def renewal(found: Found, chance: float) -> float:
    """When to renew; ``chance`` from 0 to 1 picks the moment within the span."""
    life = found.not_after - found.not_before
    return found.not_before + life * (EARLIEST + (LATEST - EARLIEST) * chance)


def usages(wanted: Wanted) -> list[str]:
    """The usages to ask for: keys are elliptic, so they sign and never encipher."""
    return ["digital signature", wanted.usage]
