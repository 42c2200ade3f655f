"""One look at a cluster: what every host and the API tell at the moment.

Hosts are asked over ssh, all at once but at most :data:`AT_ONCE`; the API through a control plane's ssh connection. A
host or an API that does not answer is a finding, never an error of the look itself.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdist.api.errors import ApiError
from kdist.client.rest import Unreachable
from kdist.lifecycle.care import cluster as cluster_facts
from kdist.lifecycle.care import hostfacts
from kdist.lifecycle.operation.api import NoApi, connect
from kdist.lifecycle.operation.journal import Journal, JournalError, JournalFile
from kdist.lifecycle.operation.lock import Holder, holders
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site

AT_ONCE = 40
HOST_SECONDS = 60
API_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Host:
    """One host. ``facts`` as :func:`hostfacts.observe` gives them; None with the ``reason`` when it did not answer."""

    name: str
    address: str
    control_plane: bool
    facts: Mapping[str, Any] | None = None
    reason: str = ""
    clock: tuple[float, float] | None = None
    """How far its clock is ahead of the operator's, in seconds: at least, at most."""


@dataclass(frozen=True, slots=True)
class Picture:
    """``cluster`` as :func:`cluster.read` gives it; None with ``cluster_reason`` when no API server answered."""

    now: float
    hosts: tuple[Host, ...]
    cluster: Mapping[str, Any] | None = None
    cluster_reason: str = ""
    locks: Mapping[str, tuple[Holder, float] | None] = field(default_factory=dict)
    journals: Mapping[str, Journal | str] = field(default_factory=dict)
    """Operations' journals on this machine, by name; a text says why one cannot be read."""

    @property
    def answering(self) -> list[tuple[Host, Mapping[str, Any]]]:
        """Hosts that answered, with what they told."""
        return [(host, host.facts) for host in self.hosts if host.facts is not None]

    @property
    def control_planes(self) -> list[Host]:
        """In the inventory's order."""
        return [host for host in self.hosts if host.control_plane]


async def take(site: Site) -> Picture:
    """Look at everything."""
    (hosts, (cluster, reason), locks) = await asyncio.gather(_hosts(site), _cluster(site), _locks(site))
    return Picture(time.time(), hosts, cluster, reason, locks, journals(site.state))


async def _hosts(site: Site) -> tuple[Host, ...]:
    source = inspect.getsource(hostfacts).encode()
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Host:
        spec = next(host for host in site.spec.hosts if host.name == name)
        request = {
            "control_plane": spec.control_plane,
            "address": spec.address,
            "api_port": site.spec.settings.api_port,
            "dns_address": site.spec.dns_address if "dns" in site.spec.settings.addons else "",
            "dns_name": f"kubernetes.default.svc.{site.spec.settings.dns_domain}",
        }
        command = f"/usr/bin/python3 - {shlex.quote(json.dumps(request))}"
        async with turn:
            sent = time.time()
            try:
                out = await site.run(name, command, given=source, timeout=HOST_SECONDS)
                facts = json.loads(out)
            except HostError as error:
                return Host(
                    name, spec.address, spec.control_plane, reason=str(error).removeprefix(f"{name}: ")
                )
            except ValueError:
                return Host(
                    name,
                    spec.address,
                    spec.control_plane,
                    reason=f"answers with what is no JSON: {out[:200]}",
                )
            received = time.time()
        clock = (facts["time"] - received, facts["time_began"] - sent)
        return Host(name, spec.address, spec.control_plane, facts, clock=clock)

    return tuple(await asyncio.gather(*(one(name) for name in site.names)))


async def _cluster(site: Site) -> tuple[Mapping[str, Any] | None, str]:
    try:
        async with asyncio.timeout(API_SECONDS), connect(site) as api:
            return await cluster_facts.read(api, time.time()), ""
    except (NoApi, Unreachable) as error:
        return None, str(error)
    except ApiError as error:
        return None, error.message
    except TimeoutError:
        return None, f"it did not answer within {API_SECONDS} s"


async def _locks(site: Site) -> Mapping[str, tuple[Holder, float] | None]:
    try:
        return await holders(site)
    except HostError:  # a host that answers and has no Python: told about by its own facts
        return {}


def journals(state: Path) -> dict[str, Journal | str]:
    """The journals of operations in a state directory."""
    found: dict[str, Journal | str] = {}
    for path in sorted(state.glob("*.json")):
        try:
            journal = JournalFile(path).load()
        except JournalError as error:
            found[path.stem] = str(error)
        else:
            if journal:
                found[path.stem] = journal
    return found
