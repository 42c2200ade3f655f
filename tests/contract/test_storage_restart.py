"""etcd is restarted under an API server: calls wait for it for a moment, and no longer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import Unavailable
from tests.contract.etcd_process import Process


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Process]:
    process = Process("m1", tmp_path)
    process.start("--unsafe-no-fsync")
    yield process
    process.stop()


async def test_calls_wait_for_a_member_that_is_restarted(member: Process) -> None:
    storage = EtcdStorage([member.client], patience=20.0)
    await storage.commit({"/a": 0}, puts={"/a": b"1"})
    await asyncio.to_thread(member.stop)
    write = asyncio.create_task(storage.commit({"/b": 0}, puts={"/b": b"2"}))
    read = asyncio.create_task(storage.get("/a"))
    await asyncio.sleep(0)
    member.start("--unsafe-no-fsync", wait=False)
    assert await write > 0
    found = await read
    assert found is not None
    assert found.value == b"1"
    await storage.close()


async def test_a_member_that_does_not_come_back_is_told(member: Process) -> None:
    storage = EtcdStorage([member.client], patience=0.2)
    await storage.current_revision()
    await asyncio.to_thread(member.stop)
    with pytest.raises(Unavailable, match="failed to connect"):
        await storage.commit({"/b": 0}, puts={"/b": b"2"})
    await storage.close()
