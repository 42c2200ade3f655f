"""What a real unbound answers from the configuration and the changes that it is given."""

import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kdist.dns import config, unbound
from kdist.dns.config import Serving
from kdist.dns.control import Control

from .dns_client import ask

pytestmark = pytest.mark.skipif(not shutil.which("unbound"), reason="needs unbound")

WEB = "web.demo.svc.cluster.local."
Start = Callable[..., Awaitable[tuple[Control, tuple[str, int]]]]


def free_port() -> int:
    """Free for TCP and UDP, and outside the range that clients' own ports are taken from."""
    for port in range(20000, 30000, 7):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(name: str, records: str, *forwarders: str) -> tuple[Control, tuple[str, int]]:
            directory = tmp_path / name
            directory.mkdir()
            port = free_port()
            serving = Serving(directory, port, ("127.0.0.1",), ("127.0.0.0/8",), forwarders, 4)
            (directory / "unbound.conf").write_text(config.server(serving))
            serving.records.write_text(records)
            control = Control(serving.control)
            await stack.enter_async_context(unbound.running(directory / "unbound.conf", control))
            return control, ("127.0.0.1", port)

        yield begin


async def test_names_of_the_zone_exist_or_do_not(start: Start) -> None:
    values = {WEB: ["A 10.96.0.7"], "7.0.96.10.in-addr.arpa.": [f"PTR {WEB}"]}
    _, server = await start("own", config.records("cluster.local", values, {}, follow=False))
    assert ask(WEB, "A", server) == ("NOERROR", {"A 10.96.0.7"})
    assert ask(WEB, "AAAA", server) == ("NOERROR", set())
    assert ask("demo.svc.cluster.local.", "A", server) == ("NOERROR", set())
    assert ask("nope.demo.svc.cluster.local.", "A", server) == ("NXDOMAIN", set())
    assert ask("7.0.96.10.in-addr.arpa.", "PTR", server) == ("NOERROR", {f"PTR {WEB}"})
    assert ask("www.example.com.", "A", server) == ("REFUSED", set())


async def test_changes_take_effect_at_once(start: Start) -> None:
    control, server = await start("own", config.records("cluster.local", {}, {}, follow=False))
    await control.change([], [config.record(WEB, "A 10.96.0.7"), config.record(WEB, "A 10.96.0.8")])
    assert ask(WEB, "A", server)[1] == {"A 10.96.0.7", "A 10.96.0.8"}
    await control.change([WEB], [config.record(WEB, "A 10.96.0.9")])
    assert ask(WEB, "A", server)[1] == {"A 10.96.0.9"}
    await control.change([WEB], [])
    assert ask(WEB, "A", server)[0] == "NXDOMAIN"


async def test_an_alias_for_an_outside_name_is_followed(start: Start) -> None:
    outside = config.records("example.com", {"www.example.com.": ["A 192.0.2.80"]}, {}, follow=False)
    _, (address, port) = await start("outside", outside)
    alias = {"ext.demo.svc.cluster.local.": "www.example.com."}
    _, server = await start(
        "own", config.records("cluster.local", {}, alias, follow=True), f"{address}@{port}"
    )
    found = {"CNAME www.example.com.", "A 192.0.2.80"}
    assert ask("ext.demo.svc.cluster.local.", "A", server) == ("NOERROR", found)
    assert ask("www.example.com.", "A", server) == ("NOERROR", {"A 192.0.2.80"})
