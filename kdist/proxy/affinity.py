"""Session affinity entries, which the kernel makes by itself: reading them, and finding those that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.proxy.chains import PROTOCOLS
from kdist.proxy.endpoints import Backend
from kdist.proxy.plan import Elements


@dataclass(frozen=True, slots=True)
class Entry:
    """A client of a frontend goes to ``backend`` for another ``expires`` of ``timeout`` seconds."""

    protocol: str
    client: str
    address: str
    port: int
    backend: Backend
    timeout: int
    expires: int

    @property
    def key(self) -> str:
        """As nftables writes it, with the time left."""
        times = f"timeout {self.timeout}s expires {max(self.expires, 1)}s"
        return f"{self.client} . {self.address} . {self.port} {times}"

    @property
    def bare_key(self) -> str:
        """As nftables wants it for deletion."""
        return f"{self.client} . {self.address} . {self.port}"


def parse(protocol: str, elements: Iterable[Any]) -> list[Entry]:
    """Entries from libnftables-json elements of map ``affinity-PROTOCOL``."""
    entries = []
    for key, value in elements:
        client, address, port = key["elem"]["val"]["concat"]
        backend = Backend(value["concat"][0], int(value["concat"][1]))
        times = key["elem"]
        entries.append(
            Entry(protocol, client, address, int(port), backend, times["timeout"], times["expires"])
        )
    return entries


def carried_over(entries: Iterable[Entry]) -> Elements:
    """The entries as elements for a new table."""
    elements: Elements = {f"affinity-{protocol}": {} for protocol in PROTOCOLS}
    for entry in entries:
        elements[f"affinity-{entry.protocol}"][entry.key] = str(entry.backend)
    return elements


def stale(entries: Iterable[Entry], backends: Mapping[str, frozenset[Backend]]) -> list[Entry]:
    """Entries of the frontends in ``backends`` (by verdict-map key) that lead to none of their endpoints."""
    found = []
    for entry in entries:
        allowed = backends.get(f"{entry.address} . {entry.protocol} . {entry.port}")
        if allowed is None:
            allowed = backends.get(f"{entry.protocol} . {entry.port}")
        if allowed is not None and entry.backend not in allowed:
            found.append(entry)
    return found
