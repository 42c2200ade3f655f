"""Choosing the endpoints of a Service port from its EndpointSlices.

The rules: ready endpoints; when there is none, those that still serve while they terminate. The same rule is
applied separately to the endpoints on this node, which the ``Local`` traffic policies use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdist.proxy.family import Family
from kdist.proxy.services import ServicePort


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """Where a connection goes."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address} . {self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of one port with the conditions that matter here."""

    backend: Backend
    ready: bool
    serving: bool
    terminating: bool
    local: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Usable backends: of the whole cluster and of this node."""

    cluster: frozenset[Backend]
    local: frozenset[Backend]
    # Every address on this node, usable or not yet: a pod may reach itself through its Service.
    own_addresses: frozenset[str]


def _port_number(slice_: dict[str, Any], port: ServicePort) -> int | None:
    for entry in slice_.get("ports") or ():
        if (entry.get("name") or "") == port.name and (
            entry.get("protocol") or "TCP"
        ).lower() == port.protocol:
            number = entry.get("port")
            return int(number) if number is not None else None
    return None


def _endpoints(slice_: dict[str, Any], number: int, node: str) -> Iterator[Endpoint]:
    for entry in slice_.get("endpoints") or ():
        addresses = entry.get("addresses") or ()
        if not addresses:
            continue
        conditions = entry.get("conditions") or {}
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving")
        yield Endpoint(
            # Further addresses are meant to be fungible: one is enough.
            backend=Backend(addresses[0], number),
            ready=ready,
            serving=ready if serving is None else bool(serving),
            terminating=bool(conditions.get("terminating")),
            local=entry.get("nodeName") == node,
        )


def read(
    slices: Iterable[dict[str, Any]], port: ServicePort, family: Family, node: str
) -> dict[Backend, Endpoint]:
    """The endpoints of ``port``; one that is listed twice during a change counts as ready if either is."""
    found: dict[Backend, Endpoint] = {}
    for slice_ in slices:
        number = _port_number(slice_, port)
        if slice_.get("addressType") != family.address_type or number is None:
            continue
        for endpoint in _endpoints(slice_, number, node):
            known = found.get(endpoint.backend)
            if known is None or not known.ready:
                found[endpoint.backend] = endpoint
    return found


def _usable(endpoints: Sequence[Endpoint]) -> frozenset[Backend]:
    ready = frozenset(e.backend for e in endpoints if e.ready)
    return ready or frozenset(e.backend for e in endpoints if e.serving and e.terminating)


def choose(endpoints: dict[Backend, Endpoint]) -> Choice:
    """The backends that take new connections."""
    everywhere = list(endpoints.values())
    local = [e for e in everywhere if e.local]
    return Choice(_usable(everywhere), _usable(local), frozenset(e.backend.address for e in local))


def arrange(wanted: frozenset[Backend], previous: Sequence[Backend] = ()) -> tuple[Backend, ...]:
    """``wanted`` in an order that moves as few members of ``previous`` as possible.

    Positions are keys of the kernel's map: an endpoint that keeps its position costs nothing, so one that
    leaves a large Service must not shift all those after it.
    """
    kept = [b if b in wanted else None for b in previous]
    new = sorted(wanted.difference(previous))
    for index, backend in enumerate(kept):
        if backend is None and new:
            kept[index] = new.pop(0)
    kept += new
    while None in kept:
        last = kept.pop()
        if last is not None:
            kept[kept.index(None)] = last
    return tuple(b for b in kept if b is not None)
