"""Writes to a real etcd whose answers are lost on the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import KeyValue, Mismatch, Unavailable
from kdist.storage.rpc import Channel
from kdist.storage.rpcstatus import UNAVAILABLE, RpcError
from tests.contract.conftest import Etcd


class Forgetful:
    """A channel that loses the answer of the next transaction; etcd has carried it out."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self.loses = channel, False

    async def unary(self, path: str, message: bytes, *, timeout: float) -> bytes:
        answer = await self._channel.unary(path, message, timeout=timeout)
        if self.loses and path.endswith("/Txn"):
            self.loses = False
            raise RpcError(UNAVAILABLE, "connection lost")
        return answer

    async def close(self) -> None:
        await self._channel.close()


@pytest.fixture
async def storage(etcd: Etcd) -> AsyncIterator[EtcdStorage]:
    opened = EtcdStorage([etcd.plain])
    opened._members = [Forgetful(member) for member in opened._members]  # type: ignore[misc]
    yield opened
    await opened.close()


def lose_next(storage: EtcdStorage) -> None:
    storage._members[0].loses = True  # type: ignore[attr-defined]


async def test_a_creation_a_change_and_a_deletion_are_acknowledged_once(storage, root):
    key = root + "a"
    lose_next(storage)
    created = await storage.commit({key: 0}, puts={key: b"1"})
    assert await storage.get(key) == KeyValue(key, b"1", created)
    lose_next(storage)
    changed = await storage.commit({key: created}, puts={key: b"2"})
    assert await storage.get(key) == KeyValue(key, b"2", changed)
    assert changed == created + 1, "it was carried out once"
    lose_next(storage)
    assert await storage.commit({key: changed}, deletes=[key]) == changed + 1
    assert await storage.get(key) is None


async def test_a_change_that_somebody_else_made_meanwhile_is_still_a_mismatch(storage, root):
    key = root + "a"
    created = await storage.commit({key: 0}, puts={key: b"1"})
    theirs = await storage.commit({key: created}, puts={key: b"theirs"})
    lose_next(storage)
    with pytest.raises(Mismatch) as refused:
        await storage.commit({key: created}, puts={key: b"ours"})
    assert refused.value.current == KeyValue(key, b"theirs", theirs)


async def test_a_write_that_could_happen_twice_is_not_repeated(storage, root):
    lose_next(storage)
    with pytest.raises(Unavailable):
        await storage.commit({}, puts={root + "a": b"1"})
