"""Every storage backend, started fresh: the contract suite runs on each."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from kdist.pki.issue import create_authority, issue
from kdist.pki.plan import AuthoritySpec, LeafSpec
from kdist.storage.encryption import EncryptedStorage
from kdist.storage.encryption.configuration import API_VERSIONS, KIND, parse
from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import Storage, Unavailable
from kdist.storage.memory import MemoryStorage


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Etcd:
    """A running etcd: its plain URL, its TLS URL, and where its certificates lie."""

    plain: str
    tls: str
    certificates: Path


def _write_certificates(directory: Path) -> None:
    authority = create_authority(AuthoritySpec("ca", "contract", PurePosixPath("ca")))
    (directory / "ca.crt").write_bytes(authority.certificate)
    for leaf in (
        LeafSpec("server", "ca", "etcd", None, server=True, hosts=("127.0.0.1",)),
        LeafSpec("client", "ca", "kube-apiserver", None),
    ):
        pair = issue(leaf, authority)
        (directory / f"{leaf.name}.crt").write_bytes(pair.certificate)
        (directory / f"{leaf.name}.key").write_bytes(pair.key)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed")
    directory: Path = tmp_path_factory.mktemp("etcd")
    _write_certificates(directory)
    plain, peer = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    tls = f"https://127.0.0.1:{_free_port()}"
    command = ["etcd", "--data-dir", str(directory / "data"), "--unsafe-no-fsync"]
    command += ["--listen-client-urls", f"{plain},{tls}", "--advertise-client-urls", plain]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    command += ["--cert-file", str(directory / "server.crt"), "--key-file", str(directory / "server.key")]
    command += ["--client-cert-auth", "--trusted-ca-file", str(directory / "ca.crt")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield Etcd(plain, tls, directory)
    process.terminate()
    process.wait(10)


@pytest.fixture(params=["memory", "encrypted", "etcd", "etcd-tls"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    backend: Storage
    if request.param == "memory":
        backend = MemoryStorage()
    elif request.param == "encrypted":
        backend = _encrypted()
    else:
        backend = _client(request.getfixturevalue("etcd"), tls=request.param == "etcd-tls")
        await _answering(backend)
    yield backend
    await backend.close()


def _client(etcd: Etcd, *, tls: bool) -> Storage:
    if not tls:
        return EtcdStorage([etcd.plain])
    nobody = f"https://127.0.0.1:{_free_port()}"  # a member that is down
    at = etcd.certificates
    return EtcdStorage(
        [nobody, etcd.tls],
        ca_file=at / "ca.crt",
        cert_file=at / "client.crt",
        key_file=at / "client.key",
    )


def _encrypted() -> Storage:
    keys = [{"name": "k", "secret": base64.b64encode(b"k" * 32).decode()}]
    rule = {"resources": ["*.*"], "providers": [{"aesgcm": {"keys": keys}}]}
    document = {"apiVersion": API_VERSIONS[0], "kind": KIND, "resources": [rule]}
    transformers = parse(json.dumps(document).encode())
    return EncryptedStorage(MemoryStorage(), transformers, lambda key: ("", "things"), bytes)


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
