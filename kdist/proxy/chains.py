"""The chains that maps point to: one per number of endpoints and way of treating the packet, not per Service.

A chain knows how many endpoints there are; which ones, it looks up in the endpoint maps by the packet's own
destination and a random index. So ten thousand Services share a handful of chains.

Chains and endpoint maps exist once per transport protocol: libnftables (1.0.6) cannot add a rule that uses
an existing map of addresses and ports when several protocols are possible at that point of the rule.

Session affinity in IPv6 goes by a hash of the client's address instead of by memory: libnftables (1.0.6) aborts
on a rule that notes more than 16 bytes (an address of IPv6 is as many). So a client of IPv6 stays at its endpoint
while the number of endpoints stays the same, however long that is.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The one bit of the packet mark that is ours; upstream's proxy uses the same one. All others are left alone.
MASQUERADE_BIT = "0x4000"
# Where the indices of this node's own endpoints begin; those of the whole cluster begin at 0.
LOCAL_OFFSET = 1 << 16

# Any fixed number: a seed that the kernel chose would move every client at each rewrite of the rules.
HASH_SEED = "0x6b646973"
PROTOCOLS = ("tcp", "udp", "sctp")


class Masquerade(enum.Enum):
    """Whose connections get this node's address as their source."""

    NEVER = "never"
    OUTSIDERS = "outsiders"  # everything that is not a pod
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Pick:
    """Send the connection to one of ``count`` endpoints, whose indices begin at ``offset``."""

    protocol: str
    by_port: bool
    count: int
    offset: int = 0
    masquerade: Masquerade = Masquerade.NEVER
    affine: bool = False

    @property
    def name(self) -> str:
        """Unique among chains."""
        scope = "local" if self.offset else "any"
        entry = "port" if self.by_port else "ip"
        parts = ["pick", self.protocol, entry, scope, str(self.count), self.masquerade.value]
        return "-".join(parts) + ("-affine" if self.affine else "")

    def rules(self, ip: str, pod_cidrs: Sequence[str]) -> Iterator[str]:
        """nftables rules, in order."""
        if self.masquerade is Masquerade.ALWAYS:
            yield f"meta mark set meta mark or {MASQUERADE_BIT}"
        elif self.masquerade is Masquerade.OUTSIDERS and pod_cidrs:
            yield f"{ip} saddr != {{ {', '.join(pod_cidrs)} }} meta mark set meta mark or {MASQUERADE_BIT}"
        port = f"{self.protocol} dport"
        index = f"numgen random mod {self.count}"
        if self.affine and ip == "ip":
            # A client without an entry falls through to the next rule.
            yield f"dnat to {ip} saddr . {ip} daddr . {port} map @affinity-{self.protocol}"
        elif self.affine:
            index = f"jhash {ip} saddr mod {self.count} seed {HASH_SEED}"
        key = port if self.by_port else f"{ip} daddr . {port}"
        endpoints = f"{'node-port-' if self.by_port else ''}endpoints-{self.protocol}"
        offset = f" offset {self.offset}" if self.offset else ""
        yield f"dnat to {key} . {index}{offset} map @{endpoints}"

    def requires(self) -> tuple[Chain, ...]:
        """Chains that must exist before this one."""
        return ()


@dataclass(frozen=True, slots=True)
class Split:
    """externalTrafficPolicy Local: outsiders reach this node's endpoints only, or nothing when it has none.

    Pods and the node itself are inside the cluster and may reach every endpoint.
    """

    everywhere: Pick
    here: Pick | None

    @property
    def name(self) -> str:
        """Unique among chains."""
        return f"split-{self.everywhere.name}-{self.here.name if self.here else 'none'}"

    def rules(self, ip: str, pod_cidrs: Sequence[str]) -> Iterator[str]:
        """nftables rules, in order."""
        if pod_cidrs:
            yield f"{ip} saddr {{ {', '.join(pod_cidrs)} }} goto {self.everywhere.name}"
        yield f"fib saddr type local meta mark set meta mark or {MASQUERADE_BIT} goto {self.everywhere.name}"
        yield f"goto {self.here.name}" if self.here else "drop"

    def requires(self) -> tuple[Chain, ...]:
        """Chains that must exist before this one."""
        return (self.everywhere, self.here) if self.here else (self.everywhere,)


@dataclass(frozen=True, slots=True)
class Remember:
    """Note where a client's connection went, for ``seconds`` from now (session affinity)."""

    protocol: str
    seconds: int

    @property
    def name(self) -> str:
        """Unique among chains."""
        return f"remember-{self.protocol}-{self.seconds}"

    def rules(self, ip: str, pod_cidrs: Sequence[str]) -> Iterator[str]:
        """nftables rules, in order; none in IPv6, whose clients are told apart by a hash."""
        if ip != "ip":
            return
        client = f"{ip} saddr . ct original {ip} daddr . ct original proto-dst"
        yield (
            f"meta l4proto {self.protocol} update @affinity-{self.protocol} "
            f"{{ {client} timeout {self.seconds}s : {ip} daddr . {self.protocol} dport }}"
        )

    def requires(self) -> tuple[Chain, ...]:
        """Chains that must exist before this one."""
        return ()


Chain = Pick | Split | Remember
