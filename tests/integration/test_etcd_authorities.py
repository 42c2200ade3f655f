"""etcd's authority is exchanged: etcd is restarted in every phase, and the API server fails no request meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from kdist.api.errors import ApiError
from kdist.api.kinds import CONFIG_MAPS
from kdist.apiserver.lifecycle import running
from kdist.client.rest import Unreachable
from kdist.config.apiserver import ApiServerSettings
from kdist.pki.rotation import Phase
from tests.integration.test_live_certificates import Site, eventually

WRITERS = 3


class Etcd:
    """One member, by the files of a host."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url, self._peer = f"https://127.0.0.1:{unused_port()}", f"http://127.0.0.1:{unused_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        pki = self._root / "etc/kubernetes/pki/etcd"
        command = ["etcd", "--data-dir", str(self._root / "data"), "--unsafe-no-fsync", "--client-cert-auth"]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += ["--listen-peer-urls", self._peer, "--initial-advertise-peer-urls", self._peer]
        command += ["--initial-cluster", f"default={self._peer}", "--trusted-ca-file", str(pki / "ca.crt")]
        command += ["--cert-file", str(pki / "server.crt"), "--key-file", str(pki / "server.key")]
        with (self._root / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def etcd(site: Site) -> Iterator[Etcd]:
    member = Etcd(site.root)
    member.start()
    yield member
    member.stop()


def with_etcd(site: Site, etcd: Etcd) -> ApiServerSettings:
    pki = site.path("pki")
    return dataclasses.replace(
        site.settings(),
        storage="etcd",
        etcd_servers=(etcd.url,),
        etcd_cafile=pki / "etcd/ca.crt",
        etcd_certfile=pki / "apiserver-etcd-client.crt",
        etcd_keyfile=pki / "apiserver-etcd-client.key",
    )


class Load:
    """Writers who read back what they wrote."""

    def __init__(self, site: Site) -> None:
        self._site, self.stop = site, asyncio.Event()
        self.done, self.errors = 0, list[str]()

    async def write(self, name: str) -> None:
        async with self._site.client() as client:
            await client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {}}, "default")
            count = 0
            while not self.stop.is_set():
                count += 1
                try:
                    await client.patch(CONFIG_MAPS, name, {"data": {"count": str(count)}}, "default")
                    read = await client.get(CONFIG_MAPS, name, "default")
                    if read["data"]["count"] != str(count):
                        self.errors.append(f"wrote {count}, read {read['data']['count']}")
                except (ApiError, Unreachable) as error:
                    self.errors.append(str(error))
                self.done += 1
                await asyncio.sleep(0.02)

    async def more(self, requests: int) -> None:
        """Go on until so many more were answered."""
        wanted = self.done + requests

        async def answered() -> bool:
            return self.done >= wanted

        await eventually(answered, f"{requests} more requests")


async def test_no_request_fails_while_etcd_is_restarted_with_other_authorities(
    site: Site, etcd: Etcd
) -> None:
    load = Load(site)
    async with running(with_etcd(site, etcd)), asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(load.write(f"written-{number}"))
        for phase in Phase:
            await load.more(20)
            site.advance("etcd-ca", phase)
            await asyncio.to_thread(etcd.restart)
        await load.more(20)
        load.stop.set()
    assert load.errors == []
