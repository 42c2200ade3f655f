"""Watches for the registration sockets of plug-ins and keeps drivers and the CSINode object in step.

A driver registers by putting a socket into ``plugins_registry``; it is gone when the socket is. The directory
is looked at once a second, and only its time stamp as long as that does not change.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kdist.agent.csi import csinode
from kdist.agent.csi.client import CsiError, Driver, Registration
from kdist.agent.csi.drivers import Drivers
from kdist.api.errors import ApiError
from kdist.client.rest import Unreachable
from kdist.telemetry import log

_log = log.get(__name__)

LOOK_EVERY = 1.0
RETRY_AFTER = 5.0
_TYPE = "CSIPlugin"

Identity = tuple[int, int]  # inode and change time: a socket that was made anew registers anew


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done about the sockets in the directory."""

    gone: tuple[Path, ...]
    new: tuple[Path, ...]


def plan(known: Mapping[Path, Identity], found: Mapping[Path, Identity]) -> Changes:
    """Sockets that vanished and sockets that appeared or were replaced. Pure."""
    gone = tuple(sorted(p for p in known if p not in found))
    new = tuple(sorted(p for p, identity in found.items() if known.get(p) != identity))
    return Changes(gone, new)


def sockets(directory: Path) -> dict[Path, Identity]:
    """The sockets of a directory; hidden ones are still being made."""
    found = {}
    for entry in directory.iterdir():
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISSOCK(status.st_mode):
            found[entry] = (status.st_ino, status.st_ctime_ns)
    return found


class Registrar:
    """The loop; ``run`` ends only by cancellation."""

    def __init__(self, directory: Path, drivers: Drivers, api: csinode.Api, node_name: str) -> None:
        self._directory = directory
        self._drivers = drivers
        self._api = api
        self._node_name = node_name
        self._known: dict[Path, Identity] = {}
        self._names: dict[Path, str] = {}

    async def run(self) -> None:
        """Look, register, forget."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        seen, retry_at = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            modified = self._directory.stat().st_mtime_ns
            if modified != seen or (retry_at and loop.time() >= retry_at):
                seen = modified
                retry_at = 0.0 if await self._look() else loop.time() + RETRY_AFTER
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> bool:
        """Bring everything up to date; False when something has to be tried again."""
        changes = plan(self._known, sockets(self._directory))
        results = [await self._forget(path) for path in changes.gone]
        results += [await self._register(path) for path in changes.new]
        return all(results)

    async def _register(self, path: Path) -> bool:
        identity = sockets(self._directory).get(path)
        registration = Registration(str(path))
        try:
            name = await self._introduce(registration)
        except (CsiError, ApiError, Unreachable, OSError) as error:
            _log.warning("plug-in not registered", socket=path, reason=error)
            return False
        finally:
            await registration.close()
        if identity is not None:
            self._known[path] = identity
        if name:
            self._names[path] = name
        return True

    async def _introduce(self, registration: Registration) -> str:
        """Register what is behind a socket; its name, empty for a plug-in that is none of ours."""
        info = await registration.info()
        if info.type != _TYPE:
            await registration.notify(f"plug-ins of type {info.type} are not handled by this node")
            return ""
        if not any(version.startswith(("v1", "1.")) for version in info.supported_versions):
            await registration.notify(f"CSI versions {list(info.supported_versions)} are not supported")
            return ""
        driver = Driver(info.name, info.endpoint)
        try:
            about = await driver.info()
            on_node = csinode.DriverOnNode(
                info.name,
                about.node_id,
                dict(about.accessible_topology.segments),
                about.max_volumes_per_node,
            )
            await csinode.publish(self._api, self._node_name, info.name, on_node)
        except (CsiError, ApiError, Unreachable) as error:
            await driver.close()
            await registration.notify(str(error))
            raise
        await self._drivers.put(driver)
        await registration.notify()
        _log.info("CSI driver registered", driver=info.name, node_id=about.node_id)
        return info.name

    async def _forget(self, path: Path) -> bool:
        name = self._names.get(path)
        if name is not None and name not in (n for p, n in self._names.items() if p != path):
            try:
                await csinode.publish(self._api, self._node_name, name, None)
            except (ApiError, Unreachable) as error:
                _log.warning("CSI driver not taken from CSINode", driver=name, reason=error)
                return False
            await self._drivers.drop(name)
            _log.info("CSI driver gone", driver=name)
        self._names.pop(path, None)
        self._known.pop(path, None)
        return True
