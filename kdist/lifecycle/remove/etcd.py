"""etcd's members as a control plane that stays knows them, over ssh; and the end of a membership."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kdist.lifecycle.etcd.etcdctl import PKI
from kdist.lifecycle.etcd.members import Member
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site

# A member that does not answer within this is not counted on.
SECONDS = 3
# A change waits for an election and for slow disks; etcd itself gives it up after 7 s.
CHANGE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Etcd:
    """The members, the ids of those that answer, and the host that was asked."""

    asked: str
    members: tuple[Member, ...]
    healthy: frozenset[int]


async def look(site: Site, hosts: Sequence[str]) -> Etcd:
    """Ask the first of the hosts that can tell. Raises HostError with every reason."""
    reasons = []
    for host in hosts:
        try:
            listed = json.loads(await site.run(host, _command(host, site, "member", "list")))
            members = tuple(Member.from_json(entry) for entry in listed["members"])
            return Etcd(host, members, await _healthy(site, host, members))
        except HostError as error:
            reasons.append(str(error))
    raise HostError(
        "etcd", "no control plane that stays can tell its members: " + "; ".join(reasons), reached=False
    )


async def _healthy(site: Site, host: str, members: Collection[Member]) -> frozenset[int]:
    urls = {_client_url(m): m.id for m in members}
    # The tool ends with an error when one of them does not answer; what it found is on its output all the same.
    asked = _line(urls, "endpoint", "health") + " || true"
    found = json.loads(await site.run(host, asked) or "[]")
    return frozenset(urls[entry["endpoint"]] for entry in found if entry.get("health"))


async def end(site: Site, etcd: Etcd, member: Member) -> None:
    """End a membership. Raises HostError."""
    others = [_client_url(m) for m in etcd.members if m.id != member.id and m.id in etcd.healthy]
    await site.run(etcd.asked, _line(others, "member", "remove", f"{member.id:x}", seconds=CHANGE_SECONDS))


def _command(host: str, site: Site, *words: str) -> str:
    return _line([f"https://{_bracketed(site.address(host))}:2379"], *words)


def _client_url(member: Member) -> str:
    return f"https://{_bracketed(urlsplit(member.peer_urls[0]).hostname or '')}:2379"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _line(endpoints: Collection[str], *words: str, seconds: int = SECONDS) -> str:
    line = [
        "etcdctl",
        f"--endpoints={','.join(endpoints)}",
        f"--cacert={PKI}/ca.crt",
        f"--cert={PKI}/healthcheck-client.crt",
        f"--key={PKI}/healthcheck-client.key",
        f"--command-timeout={seconds}s",
        "--write-out=json",
        *words,
    ]
    return f"ETCDCTL_API=3 {shlex.join(line)}"
