"""Holding the address while this host leads, and only while its API server proves it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from kdist.client.leaderelection import LeaderElector, LeadershipLost
from kdist.telemetry import log
from kdist.vip.announce import Address
from kdist.vip.link import Interface

# The Lease: another host waits LEASE seconds without a renewal; the holder gives up RENEW seconds after its last
# one; RETRY is how often either looks. Worst case from a host's death to the next holder: LEASE + RETRY, below the
# 5 s that a client may notice; and RENEW bears an election of etcd's (1 to 2 s).
LEASE_SECONDS = 3
RENEW_SECONDS = 2.5
RETRY_SECONDS = 0.5
# Neighbours that missed the first announcement hear one of the next.
ANNOUNCE_EVERY_SECONDS = 10.0
_FIRST_ANNOUNCEMENTS = 3
_log = log.get(__name__)


class Port(Protocol):
    """What a holder does to its host; :class:`kdist.vip.link.Link` and the announcement, or a test's record."""

    async def interface_for(self, address: Address) -> Interface:
        """The interface whose network contains the address."""

    async def hold(self, interface: Interface, address: Address, seconds: int) -> None:
        """Have the address for that long."""

    async def drop(self, interface: Interface, address: Address) -> None:
        """Not have it, whether or not it was there."""

    def announce(self, interface: Interface, address: Address) -> None:
        """Tell the neighbours."""


class Holder:
    """The candidate of one host. :meth:`run` never returns by itself; cancelled, it lets go of the address."""

    def __init__(self, elector: LeaderElector, port: Port, address: Address) -> None:
        self._elector, self._port, self._address = elector, port, address

    @property
    def holding(self) -> bool:
        """Whether this host has the address now."""
        return self._elector.leading

    async def run(self) -> None:
        """Compete for the address forever. Raises NoInterface when this host cannot have it at all."""
        interface = await self._port.interface_for(self._address)
        await self._port.drop(interface, self._address)  # of a predecessor that was killed
        while True:
            try:
                await self._elector.run(lambda: self._hold(interface))
            except LeadershipLost as error:
                _log.warning("address given up", address=str(self._address), error=str(error))

    async def _hold(self, interface: Interface) -> None:
        _log.info("address taken", address=str(self._address), interface=interface.name)
        rounds = 0
        try:
            while True:
                # As long as the Lease and no longer: killed between two rounds, the kernel lets go for us.
                await self._port.hold(interface, self._address, LEASE_SECONDS)
                if rounds < _FIRST_ANNOUNCEMENTS or rounds % int(ANNOUNCE_EVERY_SECONDS / RETRY_SECONDS) == 0:
                    self._port.announce(interface, self._address)
                rounds += 1
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._port.drop(interface, self._address)
