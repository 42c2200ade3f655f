"""What surrounds the hosts: their disks' speed, clocks, names and the network between them. Verdicts; pure.

Part of the judgement of :mod:`kdist.lifecycle.preflight`, and like it fed with what ``kdist_preflight`` observed.

Every host reaches for all control planes and for the next :data:`NEIGHBOURS` hosts of the inventory, in a ring: each
pair that talks for the cluster's sake is tried, each host is tried by somebody, and 1,000 hosts try 6,000 pairs and
not a million. Two workers far apart in the ring are not tried against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdist.lifecycle.spec import ClusterSpec, HostSpec, Problem

Facts = Mapping[str, Any]
NEIGHBOURS = 3
# etcd's hardware guide: 99% of synchronised writes should take less than 10 ms. Its followers call an election after
# 1,000 ms without a heartbeat; a leader whose disk takes half of that cannot keep its place.
SLOW_DISK_SECONDS = 0.010
BROKEN_DISK_SECONDS = 0.5
# etcd itself warns of a peer whose clock is further away than this.
CLOCK_SECONDS = 1.0
# Certificates are valid from ten minutes before they are signed.
CLOCK_LIMIT_SECONDS = 300.0
FEATURES = {
    "bridge": "network bridges (CONFIG_BRIDGE)",
    "br_netfilter": "filtering on bridges (CONFIG_BRIDGE_NETFILTER, module br_netfilter)",
    "nftables": "nftables (CONFIG_NF_TABLES)",
    "overlay": "the overlay file system (CONFIG_OVERLAY_FS)",
    "seccomp": "seccomp filters (CONFIG_SECCOMP_FILTER)",
    "veth": "pairs of virtual network cards (CONFIG_VETH)",
    "vxlan": "VXLAN (CONFIG_VXLAN)",
}


def targets(name: str, hosts: Sequence[str], control_planes: Sequence[str]) -> list[str]:
    """The hosts that ``name`` reaches for."""
    at = hosts.index(name)
    ring = [hosts[(at + step) % len(hosts)] for step in range(1, NEIGHBOURS + 1)]
    return [peer for peer in dict.fromkeys([*control_planes, *ring]) if peer != name]


def problems(spec: ClusterSpec, host: HostSpec, observed: Mapping[str, Facts | None]) -> Iterator[str]:
    """What stands in the way, for one host that was observed."""
    facts = observed[host.name]
    assert facts is not None
    for feature, what in FEATURES.items():
        if not facts["features"].get(feature):
            yield f"the kernel has no {what}"
    seconds = facts["sync_latency"]
    if seconds is not None and seconds > BROKEN_DISK_SECONDS:
        yield (
            f"the disk under /var/lib/etcd takes {seconds * 1000:.0f} ms for a synchronised write (99th percentile); "
            f"etcd cannot keep a leader above {BROKEN_DISK_SECONDS * 1000:.0f} ms: give it another disk"
        )
    if not any(address in ("127.0.0.1", "::1") for address in facts["names"]["localhost"]):
        yield "localhost does not resolve to a loopback address; mend /etc/hosts"
    yield from _clock_problems(facts)
    for peer, told in _peers(spec, facts):
        # A peer that nobody observed may be off on purpose: that is a warning.
        if not told["reached"] and observed.get(peer.name) is not None:
            yield f"does not reach {peer.name} at {peer.address}; see routes and firewalls between the two"
        elif told["reached"] and told["full"] is False:
            yield (
                f"packets of {told['mtu']} bytes do not reach {peer.name} undivided; the network between the two takes "
                "less than the MTU of this host: set the interface's MTU to what the network carries"
            )


def warnings(spec: ClusterSpec, host: HostSpec, observed: Mapping[str, Facts | None]) -> Iterator[str]:
    """What should be looked at, for one host that was observed."""
    facts = observed[host.name]
    assert facts is not None
    seconds = facts["sync_latency"]
    if seconds is not None and SLOW_DISK_SECONDS < seconds <= BROKEN_DISK_SECONDS:
        yield (
            f"the disk under /var/lib/etcd takes {seconds * 1000:.0f} ms for a synchronised write (99th percentile); "
            f"etcd asks for less than {SLOW_DISK_SECONDS * 1000:.0f} ms"
        )
    names = facts["names"]
    if not names["own_name"]:
        yield f"its own name {names['hostname']} does not resolve; put it into /etc/hosts"
    for server in names["silent"]:
        yield f"the name server {server} does not answer; pods that ask for names outside the cluster will wait for it"
    for peer, told in _peers(spec, facts):
        if not told["reached"] and observed.get(peer.name) is None:
            yield f"does not reach {peer.name} at {peer.address}, which was not looked at"


def _peers(spec: ClusterSpec, facts: Facts) -> Iterator[tuple[HostSpec, Facts]]:
    by_name = {host.name: host for host in spec.hosts}
    for name, told in facts["peers"].items():
        if name in by_name:
            yield by_name[name], told


def _clock_problems(facts: Facts) -> Iterator[str]:
    least, most = facts["clock"]
    apart = max(least, -most)
    if apart > CLOCK_LIMIT_SECONDS:
        by = least if least > 0 else most
        yield f"its clock differs by {by:+.0f} s from the operator's; set up time synchronisation"


def clock_warnings(observed: Mapping[str, Facts | None]) -> Iterator[Problem]:
    """Hosts whose clocks differ for certain: each is known to lie between two bounds."""
    clocks = {name: facts["clock"] for name, facts in observed.items() if facts}
    if len(clocks) < 2:
        return
    # The clock in the middle is right as far as can be told; of two in the middle, the nearer to the operator's.
    order = sorted(clocks, key=lambda name: sum(clocks[name]))
    middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    reference = min(middle, key=lambda name: abs(sum(clocks[name])))
    for name, (least, most) in clocks.items():
        apart = max(least - clocks[reference][1], clocks[reference][0] - most)
        if apart > CLOCK_SECONDS:
            reason = (
                f"its clock is at least {apart:.0f} s from that of {reference}; etcd warns above "
                f"{CLOCK_SECONDS:.0f} s: set up time synchronisation"
            )
            yield Problem(name, "", reason)
