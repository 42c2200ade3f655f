"""unbound's configuration files. Pure.

``unbound.conf`` says how to serve and forward; ``records.conf``, which it includes, holds everything known when it
was written, so unbound never answers from an empty zone, not even for a moment after a restart.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Seconds that clients and unbound may keep a record or its absence: endpoints come and go.
TTL = 5

_SERVER = """\
server:
  use-syslog: no
  do-daemonize: no
  verbosity: 1
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
{interfaces}
{access}
  # Answers of forwarders are passed on as they are: nothing validates here.
  module-config: "iterator"
  num-threads: 1
  outgoing-range: 512
  num-queries-per-thread: 512
  msg-cache-size: {cache_mib}m
  rrset-cache-size: {rrset_mib}m
  cache-max-ttl: 3600
  cache-max-negative-ttl: 30
  prefetch: yes
  do-not-query-localhost: no
  minimal-responses: yes
  hide-identity: yes
  hide-version: yes
{reverse}
include: "{records}"
remote-control:
  control-enable: yes
  control-interface: "{control}"
  control-use-cert: no
"""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how unbound serves; ``forwarders`` are addresses, ``ADDRESS@PORT`` with another port than 53."""

    directory: Path
    port: int
    addresses: tuple[str, ...]
    allow: tuple[str, ...]
    forwarders: tuple[str, ...]
    cache_mib: int

    @property
    def control(self) -> Path:
        """unbound's control socket."""
        return self.directory / "control.sock"

    @property
    def records(self) -> Path:
        """The included file with the records."""
        return self.directory / "records.conf"


def forwarders(resolv_conf: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(usable nameservers, those left out) of a resolv.conf.

    A loopback address is the host's own resolver; here it would be ourselves.
    """
    usable: list[str] = []
    skipped: list[str] = []
    for line in resolv_conf.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1].partition("%")[0])
        except ValueError:
            skipped.append(words[1])
            continue
        (skipped if address.is_loopback or address.is_unspecified else usable).append(words[1])
    return tuple(dict.fromkeys(usable)), tuple(skipped)


def server(serving: Serving) -> str:
    """``unbound.conf``."""
    text = _SERVER.format(
        directory=serving.directory,
        interfaces=_lines(f"interface: {address}@{serving.port}" for address in serving.addresses),
        access=_lines(f"access-control: {network} allow" for network in serving.allow),
        cache_mib=serving.cache_mib,
        rrset_mib=serving.cache_mib * 2,
        reverse=_lines(_outside(serving.forwarders)),
        records=serving.records,
        control=serving.control,
    )
    if serving.forwarders:
        targets = _lines(f"forward-addr: {address}" for address in serving.forwarders)
        text += f'forward-zone:\n  name: "."\n{targets}\n'
    return text


def _outside(forwarders: Sequence[str]) -> list[str]:
    """How names outside the cluster are treated."""
    if not forwarders:
        # To say that a name does not exist would be a lie; to ask the root servers, a long wait.
        return ['local-zone: "." refuse']
    # unbound denies reverse names of private networks by itself; here the site's resolver may know them.
    private = ["10", "168.192", *(f"{number}.172" for number in range(16, 32))]
    return [f'local-zone: "{network}.in-addr.arpa." transparent' for network in private]


def records(
    domain: str, values: Mapping[str, Sequence[str]], aliases: Mapping[str, str], *, follow: bool
) -> str:
    """``records.conf``; ``follow``: unbound looks an alias's target up itself, for which it needs forwarders."""
    lines = [
        f'local-zone: "{domain}." static',
        _local_data(f"{domain}.", f"SOA ns.dns.{domain}. hostmaster.{domain}. 1 7200 1800 86400 {TTL}"),
    ]
    lines += [_local_data(name, value) for name, held in values.items() for value in held]
    for name, target in sorted(aliases.items()):
        if follow:
            lines.append(f'local-zone: "{name}" redirect')
        lines.append(_local_data(name, f"CNAME {target}"))
    return "server:\n" + _lines(lines) + "\n"


def record(name: str, value: str) -> str:
    """One record as unbound reads it."""
    return f"{name} {TTL} IN {value}"


def _local_data(name: str, value: str) -> str:
    return f"local-data: '{record(name, value)}'"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)
