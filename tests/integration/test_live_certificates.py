"""A running API server whose certificates, authorities and token keys are exchanged phase by phase, under load."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from kdist.api.errors import ApiError, Unauthorized
from kdist.api.kinds import CONFIG_MAPS, SERVICE_ACCOUNTS
from kdist.apiserver.lifecycle import ApiServer, running
from kdist.client.rest import Client, Unreachable
from kdist.config.apiserver import ApiServerSettings
from kdist.pki import files, plan
from kdist.pki.following import LOOK_SECONDS
from kdist.pki.rotation import TOKENS, Exchange, Phase

HOST = plan.Host("cp1", "127.0.0.1", control_plane=True)


class Site:
    """One host's files and the server that runs by them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cluster = plan.Cluster("t", "10.96.0.0/16", "cluster.local", ("127.0.0.1",), unused_port())
        self.converge()

    def converge(self) -> list[str]:
        """What site.yml does to a host's certificates."""
        return files.provision(self.root, self.cluster, HOST)

    def advance(self, name: str, phase: Phase) -> None:
        Exchange(files.HostFiles(self.root), name).advance(phase)
        self.converge()

    def path(self, name: str) -> Path:
        return self.root / "etc/kubernetes" / name

    def settings(self) -> ApiServerSettings:
        pki = self.root / "etc/kubernetes/pki"
        return ApiServerSettings(
            storage="memory",
            bind_address="127.0.0.1",
            secure_port=self.cluster.api_port,
            client_ca_file=pki / "ca.crt",
            tls_cert_file=pki / "apiserver.crt",
            tls_private_key_file=pki / "apiserver.key",
            requestheader_client_ca_file=pki / "front-proxy-ca.crt",
            proxy_client_cert_file=pki / "front-proxy-client.crt",
            proxy_client_key_file=pki / "front-proxy-client.key",
            service_account_key_file=(str(pki / "sa.pub"),),
            service_account_signing_key_file=pki / "sa.key",
            shutdown_grace=1,
        )

    def client(self) -> Client:
        return Client.from_kubeconfig(self.path("super-admin.conf"), user_agent="t")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
async def server(site: Site) -> AsyncIterator[ApiServer]:
    async with running(site.settings()) as started:
        yield started


async def eventually(probe: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(20):
        while not await probe():  # noqa: ASYNC110  # another process' files, no event of ours
            await asyncio.sleep(0.1)


class Steady:
    """Reads over one kept client and over new ones until it is ended."""

    def __init__(self, site: Site) -> None:
        self._site, self._stop = site, asyncio.Event()
        self.done, self.errors = 0, list[str]()

    async def run(self) -> None:
        async with self._site.client() as kept:
            while not self._stop.is_set():
                async with self._site.client() as fresh:
                    for client in (kept, fresh):
                        try:
                            await client.list(CONFIG_MAPS)
                        except (ApiError, Unreachable) as error:
                            self.errors.append(str(error))
                        self.done += 1
                await asyncio.sleep(0.01)

    async def seconds(self, seconds: float) -> None:
        """Go on for longer than anybody takes to look at a file again."""
        until = time.monotonic() + seconds

        async def over() -> bool:
            return time.monotonic() > until

        await eventually(over, "time passes")

    async def over(self, work: Callable[[Steady], Awaitable[None]]) -> None:
        """Do the work under this load; nothing may have failed."""
        task = asyncio.create_task(self.run())
        await work(self)
        await self.seconds(LOOK_SECONDS + 1)
        self._stop.set()
        await task
        assert self.errors == []
        assert self.done > 20


async def shown_certificate(site: Site) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", site.cluster.api_port, ssl=_blind())
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return base64.b64encode(shown).decode()


def _blind() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def shows_its_file(site: Site) -> bool:
    text = site.path("pki/apiserver.crt").read_text()
    return (await shown_certificate(site)) == "".join(text.splitlines()[1:-1])


async def published(site: Site) -> dict[str, str]:
    async with site.client() as client:
        found = await client.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")
    data: dict[str, str] = found["data"]
    return data


async def test_authorities_are_exchanged_without_a_failed_request(site: Site, server: ApiServer) -> None:
    old = site.root / "old.conf"
    old.write_bytes(site.path("super-admin.conf").read_bytes())

    async def exchange(steady: Steady) -> None:
        for phase in Phase:
            for name in ("ca", "front-proxy-ca"):
                site.advance(name, phase)
            await eventually(lambda: shows_its_file(site), "the server shows its file")
            await steady.seconds(LOOK_SECONDS + 1)

    await Steady(site).over(exchange)
    async with Client.from_kubeconfig(old, user_agent="t") as client:
        with pytest.raises((Unauthorized, Unreachable)):
            await client.list(CONFIG_MAPS)

    async def told() -> bool:
        data = await published(site)
        wanted = {"client-ca-file": "ca", "requestheader-client-ca-file": "front-proxy-ca"}
        return all(data[key] == site.path(f"pki/{name}.crt").read_text() for key, name in wanted.items())

    await eventually(told, "the authorities are published")


async def test_a_name_is_added_without_a_failed_request(site: Site, server: ApiServer) -> None:
    async def add(_: Steady) -> None:
        site.cluster = plan.Cluster(
            "t", "10.96.0.0/16", "cluster.local", ("127.0.0.1",), site.cluster.api_port, ("k8s.example.org",)
        )
        assert site.converge() == ["apiserver"]
        await eventually(lambda: shows_its_file(site), "the server shows its file")

    await Steady(site).over(add)


async def test_expired_certificates_are_refused_until_new_ones_lie_there(tmp_path: Path) -> None:
    site = Site(tmp_path)
    ended = plan.Cluster(
        "t", "10.96.0.0/16", "cluster.local", ("127.0.0.1",), site.cluster.api_port, leaf_seconds=-60
    )
    for path in (*tmp_path.rglob("*.conf"), tmp_path / "etc/kubernetes/pki/apiserver.crt"):
        path.unlink()
    files.provision(tmp_path, ended, HOST)
    async with running(site.settings()), site.client() as client:
        with pytest.raises((Unauthorized, Unreachable)):
            await client.list(CONFIG_MAPS)
        assert {"apiserver", "super-admin"} <= set(site.converge())

        async def answers() -> bool:
            try:
                await client.list(CONFIG_MAPS)
            except (ApiError, Unreachable):
                return False
            return True

        await eventually(answers, "the same client gets answers from the same server")


async def _token(client: Client) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    made = await client.request("POST", SERVICE_ACCOUNTS.path("default", "robot", "token"), body=body)
    token: str = made["status"]["token"]
    return token


def _signer(token: str) -> str:
    head = token.split(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


async def test_the_key_of_tokens_is_exchanged_and_old_tokens_hold_until_it_is_dropped(
    site: Site, server: ApiServer
) -> None:
    async with site.client() as client:
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "default"}})
        first = await _token(client)

        async def keys() -> list[str]:
            told = await client.request("GET", "/openid/v1/jwks")
            return [key["kid"] for key in told["keys"]]

        async def holds(token: str) -> bool:
            review = {"spec": {"token": token}}
            told = await client.request(
                "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review | {
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
            )  # fmt: skip
            return bool(told["status"].get("authenticated"))

        async def both() -> bool:
            return len(await keys()) == 2

        assert await holds(first)
        site.advance(TOKENS, Phase.TRUST)
        await eventually(both, "both keys are published")
        assert _signer(await _token(client)) == _signer(first)
        site.advance(TOKENS, Phase.ISSUE)

        async def signs() -> bool:
            return _signer(await _token(client)) != _signer(first)

        await eventually(signs, "the new key signs")
        assert await holds(first)
        assert await both()
        site.advance(TOKENS, Phase.DROP)

        async def refused() -> bool:
            return not await holds(first)

        await eventually(refused, "tokens of the old key are refused")
        assert await holds(await _token(client))
        assert len(await keys()) == 1
