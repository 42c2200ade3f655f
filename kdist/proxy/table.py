"""nftables text: the table from scratch, and transactions that change elements of it. Pure.

Order inside a transaction matters to nftables: chains before the verdicts that name them, an element's old
value out before its new one in. The kernel switches all of it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from kdist.proxy.chains import MASQUERADE_BIT, PROTOCOLS, Chain
from kdist.proxy.family import Family
from kdist.proxy.ledger import Change
from kdist.proxy.plan import Elements

TABLE = "kdist-proxy"

# Refusing happens where an undelivered packet passes: forwarded, to this host, or from it.
_SKELETON = """
table {ip} {table} {{
  map services {{ type {addr} . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
{protocol_maps}  map affine {{ type {addr} . inet_proto . inet_service : verdict; }}
  map affine-ports {{ type inet_proto . inet_service : verdict; }}
  set cluster-ips {{ type {addr}; }}
  set refused {{ type {addr} . inet_proto . inet_service; }}
  set refused-ports {{ type inet_proto . inet_service; }}
  set hairpins {{ type {addr} . {addr}; }}
  set restricted {{ type {addr} . inet_proto . inet_service; }}
  set sources {{ type {addr} . inet_proto . inet_service . {addr}; flags interval; }}

  chain dispatch {{
    {ip} daddr . meta l4proto . th dport vmap @services
    fib daddr type local meta l4proto . th dport vmap @node-ports
  }}
  chain refuse {{
{refusals}
  }}
  chain remember {{
    meta l4proto {{ tcp, udp, sctp }} {original} vmap @affine
    meta l4proto {{ tcp, udp, sctp }} meta l4proto . ct original proto-dst vmap @affine-ports
  }}

  chain loopback-guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" {ip} daddr {loopback} drop
    iifname != "lo" {ip} saddr {loopback} drop
  }}
  chain source-guard {{
    type filter hook prerouting priority dstnat - 10; policy accept;
    ct state new {ip} daddr . meta l4proto . th dport @restricted {source} != @sources drop
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump dispatch; }}
  chain output {{ type nat hook output priority -100; policy accept; jump dispatch; }}
  chain input-memory {{
    type nat hook input priority 90; policy accept;
    ct status dnat jump remember
  }}
  chain postrouting-memory {{
    type nat hook postrouting priority srcnat - 10; policy accept;
    ct status dnat jump remember
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat {ip} saddr . {ip} daddr @hairpins masquerade fully-random
    meta mark and {bit} == 0 return
    meta mark set meta mark xor {bit}
    masquerade fully-random
  }}
  chain refuse-forwarded {{ type filter hook forward priority filter; ct state new jump refuse; }}
  chain refuse-received {{ type filter hook input priority filter; ct state new jump refuse; }}
  chain refuse-sent {{ type filter hook output priority filter; ct state new jump refuse; }}
}}
"""

_PROTOCOL_MAPS = """
  map endpoints-{protocol} {{
    typeof {ip} daddr . {protocol} dport . numgen random mod 65536 : {ip} daddr . {protocol} dport; }}
  map node-port-endpoints-{protocol} {{
    typeof {protocol} dport . numgen random mod 65536 : {ip} daddr . {protocol} dport; }}
  map affinity-{protocol} {{
    typeof {ip} saddr . {ip} daddr . {protocol} dport : {ip} daddr . {protocol} dport;
    size 262144; flags dynamic,timeout; }}
"""


def skeleton(family: Family) -> str:
    """The table without Services."""
    ip = family.nft
    destination = f"{ip} daddr . meta l4proto . th dport"
    undelivered = (
        f"{ip} daddr @cluster-ips",
        f"{destination} @refused",
        "fib daddr type local meta l4proto . th dport @refused-ports",
    )
    refusals = [f"    {matched} {how}" for how in family.refusing for matched in undelivered]
    return _SKELETON.format(
        ip=ip,
        table=TABLE,
        addr=family.set_type,
        refusals="\n".join(refusals),
        protocol_maps="".join(_PROTOCOL_MAPS.format(ip=ip, protocol=p) for p in PROTOCOLS),
        bit=MASQUERADE_BIT,
        loopback=family.loopback,
        original=f"ct original {ip} daddr . meta l4proto . ct original proto-dst",
        source=f"{destination} . {ip} saddr",
    )


def from_scratch(
    family: Family,
    pod_cidrs: Sequence[str],
    chains: Iterable[Chain],
    elements: Elements,
    clients: Elements | None = None,
) -> str:
    """One transaction that replaces the table; ``clients`` (by affinity map) is carried over from the old one."""
    lines = [f"add table {family.nft} {TABLE}", f"delete table {family.nft} {TABLE}", skeleton(family)]
    lines += add_chains(family, pod_cidrs, chains)
    for set_name, held in {**elements, **(clients or {})}.items():
        lines += _element_commands("add", family, set_name, (_element(k, v) for k, v in held.items()))
    return "\n".join(lines)


def incremental(
    family: Family, pod_cidrs: Sequence[str], new_chains: Iterable[Chain], changes: Iterable[Change]
) -> str:
    """One transaction that makes ``changes``."""
    removed: dict[str, list[str]] = defaultdict(list)
    added: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        if change.old is not None:
            removed[change.set_name].append(_element(change.key, change.old))
        if change.new is not None:
            added[change.set_name].append(_element(change.key, change.new))
    lines = list(add_chains(family, pod_cidrs, new_chains))
    for set_name, elements in removed.items():
        lines += _element_commands("delete", family, set_name, elements)
    for set_name, elements in added.items():
        lines += _element_commands("add", family, set_name, elements)
    return "\n".join(lines)


def add_chains(family: Family, pod_cidrs: Sequence[str], chains: Iterable[Chain]) -> Iterator[str]:
    """Commands that make chains; those that others go to come first."""
    for chain in sorted(set(chains), key=lambda c: (len(c.requires()), c.name)):
        yield f"add chain {family.nft} {TABLE} {chain.name}"
        for rule in chain.rules(family.nft, pod_cidrs):
            yield f"add rule {family.nft} {TABLE} {chain.name} {rule}"


def _element(key: str, value: str) -> str:
    return f"{key} : {value}" if value else key


def _element_commands(verb: str, family: Family, set_name: str, elements: Iterable[str]) -> Iterator[str]:
    text = ", ".join(elements)
    if text:
        yield f"{verb} element {family.nft} {TABLE} {set_name} {{ {text} }}"
