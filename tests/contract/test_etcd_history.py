"""Clients write while etcds are killed; nothing that was acknowledged may be missing afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kdist.lifecycle.etcd import recovery
from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import Mismatch, StorageError
from tests.contract.etcd_process import Process
from tests.contract.test_etcd_recovery import agent, launch, places_of
from tests.nightly.history import Attempt, faults

PREFIX = "/registry/history/"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Process]]:
    """Members that flush what they acknowledge, as real ones do."""
    members = [Process(f"n{number}", tmp_path) for number in (1, 2, 3)]
    for one in members:
        one.start(cluster=members, wait=False)
    for one in members:
        one.wait_for_quorum()
    yield members
    for one in members:
        one.stop(signal.SIGKILL)


async def write(servers: Sequence[str], client: str, over: asyncio.Event) -> list[Attempt]:
    """Create one key after the other until it is over; what the client was told."""
    storage, history, number = EtcdStorage(list(servers)), [], 0
    try:
        while not over.is_set():
            number += 1
            key = f"{PREFIX}{client}-{number}"
            try:
                await storage.commit({key: 0}, puts={key: b"1"})
                outcome = "ok"
            except Mismatch:
                outcome = "refused"
            except StorageError:
                outcome = "unknown"
                await asyncio.sleep(0.05)
            history.append(Attempt(client, "create", f"{client}-{number}", "1", outcome))
    finally:
        await storage.close()
    return history


def left(member: Process) -> dict[str, str]:
    return {key.removeprefix(PREFIX): "1" for key in member.keys(PREFIX)}


def acknowledged(history: Sequence[Attempt]) -> int:
    return len([attempt for attempt in history if attempt.outcome == "ok"])


async def test_killed_members_lose_no_acknowledged_write(three: list[Process]) -> None:
    over = asyncio.Event()
    servers = [one.client for one in three]
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(write(servers[n:] + servers[:n], f"c{n}", over), name=f"c{n}") for n in range(3)
        ]
        for turn in range(4):
            victim = three[turn % 3]
            await asyncio.sleep(0.5)
            victim.stop(signal.SIGKILL)
            await asyncio.sleep(0.5)
            victim.start(cluster=three, wait=False)
            await asyncio.to_thread(victim.wait_for_quorum)
        await asyncio.sleep(0.5)
        for one in three:
            one.stop(signal.SIGKILL)
        for one in three:
            one.start(cluster=three, wait=False)
        await asyncio.to_thread(three[0].wait_for_quorum)
        await asyncio.sleep(1)
        over.set()
    history = [attempt for client in clients for attempt in client.result()]
    assert acknowledged(history) > 100
    assert faults(history, left(three[0])) == []


async def test_a_recovered_quorum_loses_no_acknowledged_write(three: list[Process], tmp_path: Path) -> None:
    over = asyncio.Event()
    survivor, *lost = three
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(write([one.client], f"c{n}", over), name=f"c{n}") for n, one in enumerate(three)
        ]
        await asyncio.sleep(1)
        for one in lost:  # one after the other: what the last pair acknowledged, the survivor has
            one.stop(signal.SIGKILL)
            await asyncio.sleep(1)
        over.set()
    history = [attempt for client in clients for attempt in client.result()]
    places = places_of(survivor, tmp_path)
    with agent(survivor, places, three):
        await asyncio.to_thread(recovery.recover, places, survivor.etcd, launch)
        assert acknowledged(history) > 50
        assert faults(history, left(survivor)) == []
