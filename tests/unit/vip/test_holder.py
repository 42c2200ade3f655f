"""The address follows the Lease: taken with it, given back with it, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable

from kdist.client.leaderelection import LeadershipLost
from kdist.vip.announce import Address
from kdist.vip.holder import LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, Holder
from kdist.vip.link import Interface

ADDRESS = ipaddress.ip_address("10.0.0.9")


class Host:
    """A host's interface as a list of what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def interface_for(self, address: Address) -> Interface:
        return Interface(2, "eth0", bytes(6))

    async def hold(self, interface: Interface, address: Address, seconds: int) -> None:
        self.done.append(f"hold {seconds}")

    async def drop(self, interface: Interface, address: Address) -> None:
        self.done.append("drop")

    def announce(self, interface: Interface, address: Address) -> None:
        self.done.append("announce")


class Terms:
    """An elector that leads as often as there are terms, each ended by what the term says."""

    def __init__(self, *endings: str) -> None:
        self.leading = False
        self._endings = list(endings)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        if not self._endings:
            await asyncio.Event().wait()
        leading = asyncio.ensure_future(lead())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leading
        raise LeadershipLost(self._endings.pop(0))


async def run(*endings: str) -> list[str]:
    host = Host()
    holder = Holder(Terms(*endings), host, ADDRESS)  # type: ignore[arg-type]
    task = asyncio.create_task(holder.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return host.done


def test_the_address_of_a_killed_predecessor_is_dropped_before_anything_else() -> None:
    assert asyncio.run(run()) == ["drop"]


def test_a_term_holds_announces_and_drops() -> None:
    assert asyncio.run(run("lost")) == ["drop", f"hold {LEASE_SECONDS}", "announce", "drop"]


def test_after_a_lost_term_the_host_is_a_candidate_again() -> None:
    assert asyncio.run(run("lost", "again")).count("announce") == 2


def test_nobody_holds_longer_than_the_lease_and_clients_wait_less_than_five_seconds() -> None:
    assert RETRY_SECONDS < RENEW_SECONDS < LEASE_SECONDS
    assert LEASE_SECONDS + 1.2 * RETRY_SECONDS < 5
