"""What follows its files: used as soon as it is asked for, never half of it, never worse than before."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from kdist.api.errors import Unauthorized
from kdist.api.kinds import PODS
from kdist.client.rest import Client, Unreachable
from kdist.pki import files, issue, plan, serving
from kdist.pki.following import LOOK_SECONDS, Followed
from kdist.pki.issue import Pair

SERVER = plan.LeafSpec("server", "ca", "server", None, server=True, client=False, hosts=("127.0.0.1",))
USER = plan.LeafSpec("user", "ca", "somebody", None)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        self.now += LOOK_SECONDS


def test_files_are_looked_at_once_a_second_and_no_value_is_half(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "number"
    file.write_text("1")
    followed = Followed(lambda: int(file.read_text()), [file], clock=clock)
    heard: list[int] = []
    followed.on_change(heard.append)
    files.write(file, b"2", 0o600)
    assert followed.current() == 1
    clock.later()
    assert followed.current() == 2
    files.write(file, b"half of a numb", 0o600)
    clock.later()
    assert followed.current() == 2
    file.unlink()
    clock.later()
    assert followed.current() == 2
    files.write(file, b"3", 0o600)
    clock.later()
    assert followed.current() == 3
    assert heard == [2, 3]


def test_a_file_that_names_others_is_followed_to_them(tmp_path: Path) -> None:
    clock, index = Clock(), tmp_path / "index"
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    index.write_text("one")

    def make() -> tuple[Path, str]:
        path = tmp_path / index.read_text()
        return path, path.read_text()

    followed = Followed(make, lambda value: (index, value[0]), clock=clock)
    files.write(one, b"changed", 0o600)
    clock.later()
    assert followed.current() == (one, "changed")
    files.write(index, b"two", 0o600)
    clock.later()
    assert followed.current() == (two, "b")
    files.write(two, b"changed too", 0o600)
    clock.later()
    assert followed.current() == (two, "changed too")


class Site:
    """A server by files, a client by a kubeconfig, and the authorities that both believe."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock, self.port = root, Clock(), unused_port()
        self.old, self.new = (issue.create_authority(plan.CLUSTER_CA) for _ in range(2))
        self.seen: list[bytes] = []

    def write(self, *, signer: Pair, trusted: list[Pair]) -> None:
        """Everything at once, as a phase of a rotation leaves it."""
        bundle = b"".join(pair.certificate for pair in trusted)
        server = issue.issue(SERVER, signer)
        files.write(self.root / "server.key", server.key, 0o600)
        files.write(self.root / "server.crt", server.certificate, 0o644)
        files.write(self.root / "ca.crt", bundle, 0o644)
        text = issue.kubeconfig(
            "c", "u", (f"https://127.0.0.1:{self.port}",), bundle, issue.issue(USER, signer)
        )
        files.write(self.root / "user.conf", text, 0o600)
        self.clock.later()

    def listening(self) -> ssl.SSLContext:
        root = self.root
        certificate, key, authorities = root / "server.crt", root / "server.key", [root / "ca.crt"]
        context, _ = serving.server_context(_plain, certificate, key, authorities, clock=self.clock)
        return context

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if peer is None:
            return web.json_response({"kind": "Status", "reason": "Unauthorized"}, status=401)
        self.seen.append(peer)
        return web.json_response({"items": []})


def _plain() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


@pytest.fixture
async def site(tmp_path: Path):  # type: ignore[no-untyped-def]  # an async fixture
    site = Site(tmp_path)
    site.write(signer=site.old, trusted=[site.old])
    app = web.Application()
    app.router.add_get("/api/v1/pods", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", site.port, ssl_context=site.listening()).start()
    yield site
    await runner.cleanup()


async def test_client_and_server_pass_from_one_authority_to_another_without_a_refused_request(
    site: Site,
) -> None:
    from kdist.client import kubeconfig

    access = Followed(
        lambda: kubeconfig.load(site.root / "user.conf"), lambda found: found.files, clock=site.clock
    )
    async with Client(access, user_agent="t") as client:
        await client.list(PODS)
        for signer, trusted in (
            (site.old, [site.old, site.new]),
            (site.new, [site.new, site.old]),
            (site.new, [site.new]),
        ):
            site.write(signer=signer, trusted=trusted)
            await asyncio.gather(*(client.list(PODS) for _ in range(3)))
    assert len(set(site.seen)) == 4  # a certificate of its own in every phase


async def test_a_dropped_authority_is_believed_no_more(site: Site) -> None:
    old = site.root / "old.conf"
    old.write_bytes((site.root / "user.conf").read_bytes())
    site.write(signer=site.new, trusted=[site.new])
    async with Client.from_kubeconfig(old, user_agent="t") as client:
        with pytest.raises((Unreachable, Unauthorized)):
            await client.list(PODS)


async def test_an_intermediate_is_trusted_without_its_root(site: Site) -> None:
    root = issue.create_authority(plan.CLUSTER_CA)
    intermediate = issue.create_intermediate(plan.CLUSTER_CA, root)
    site.write(signer=intermediate, trusted=[intermediate])
    async with Client.from_kubeconfig(site.root / "user.conf", user_agent="t") as client:
        await client.list(PODS)
