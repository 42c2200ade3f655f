"""What differs between IPv4 and IPv6 in the proxy's table: names only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One address family: ``nft`` names it in rules (``ip daddr``), ``address_type`` in EndpointSlices."""

    nft: str
    address_type: str
    set_type: str
    loopback: str
    #: How an unanswered connection is refused, the first that fits. Linux' TCP does not always end a connection
    #: by IPv6's ICMP message (seen with 6.18), but by a reset it does.
    refusing: tuple[str, ...] = ("reject",)

    def owns(self, address: str) -> bool:
        """Whether a textual address is of this family."""
        return (":" in address) == (self.nft == "ip6")


IPV4 = Family("ip", "IPv4", "ipv4_addr", "127.0.0.0/8")
IPV6 = Family("ip6", "IPv6", "ipv6_addr", "::1", ("meta l4proto tcp reject with tcp reset", "reject"))
