"""Every storage backend, started fresh: the contract suite runs on each."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kdist.storage.interface import Storage, Unavailable
from kdist.storage.memory import MemoryStorage


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def etcd_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed")
    directory: Path = tmp_path_factory.mktemp("etcd")
    client, peer = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    command = ["etcd", "--data-dir", str(directory / "data"), "--unsafe-no-fsync"]
    command += ["--listen-client-urls", client, "--advertise-client-urls", client]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield client
    process.terminate()
    process.wait(10)


@pytest.fixture(params=["memory", "etcd"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    if request.param == "memory":
        backend: Storage = MemoryStorage()
    else:
        from kdist.storage.etcd import EtcdStorage

        backend = EtcdStorage([request.getfixturevalue("etcd_url")])
        await _answering(backend)
    yield backend
    await backend.close()


async def _answering(storage: Storage) -> None:
    for _ in range(100):
        try:
            await storage.current_revision()
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("etcd does not answer")


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    """A prefix of the test's own: one etcd serves all tests."""
    return f"/registry/{request.node.name}/"
