"""A client of the API from the operator's machine, through the hosts' ssh connections.

One tunnel to every control plane that answers, opened again when its host comes back; the client goes from one to the
next when one of them leaves. The certificates of API servers name 127.0.0.1, so nothing about TLS changes.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdist.client.kubeconfig import SERVERS_EXTENSION, KubeconfigError
from kdist.client.rest import Client
from kdist.lifecycle.operation.remote import HostError, die_with_parent, end
from kdist.lifecycle.operation.site import Site

KUBECONFIG = "/etc/kubernetes/super-admin.conf"
USER_AGENT = "kdist-operator"
_TUNNEL_SECONDS = 15
_AGAIN_SECONDS = 1.0


class NoApi(Exception):
    """No API server can be asked; the text says why for every control plane."""


@dataclass(frozen=True, slots=True)
class Api:
    """``client`` asks whichever server answers, ``servers`` those of each control plane."""

    client: Client
    servers: dict[str, Client]


@dataclass(slots=True)
class _Tunnel:
    host: str
    port: int
    command: list[str]
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, host: str, port: int, command: list[str]) -> _Tunnel:
        return cls(host, port, command, await _spawn(command))

    async def keep(self) -> None:
        """Open it again whenever it ends."""
        while True:
            await self.process.wait()
            await asyncio.sleep(_AGAIN_SECONDS)
            self.process = await _spawn(self.command)

    async def close(self) -> None:
        await end(self.process)


@asynccontextmanager
async def connect(site: Site, hosts: Sequence[str] | None = None) -> AsyncIterator[Api]:
    """The API of a cluster; ``hosts`` limits it to these control planes. Raises NoApi."""
    planes = list(hosts or site.control_planes)
    opened = await asyncio.gather(*(_open(site, name) for name in planes), return_exceptions=True)
    tunnels = [tunnel for tunnel in opened if isinstance(tunnel, _Tunnel)]
    keepers = [asyncio.create_task(tunnel.keep(), name=f"tunnel to {tunnel.host}") for tunnel in tunnels]
    try:
        for failure in opened:
            if isinstance(failure, BaseException) and not isinstance(failure, HostError | OSError):
                raise failure
        if not tunnels:
            raise NoApi("no control plane can be reached:\n" + "\n".join(str(failure) for failure in opened))
        text = await _kubeconfig(site, [tunnel.host for tunnel in tunnels])
        async with _clients(text, tunnels) as api:
            yield api
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(tunnel.close() for tunnel in tunnels))


async def _open(site: Site, name: str) -> _Tunnel:
    reach = site.reach(name)
    address = next(host.address for host in site.spec.hosts if host.name == name)
    port = _free_port()
    authority = f"[{address}]" if ":" in address else address
    forward = f"127.0.0.1:{port}:{authority}:{site.spec.settings.api_port}"
    # A master connection of the user's own would outlive the tunnel or hand it on: none here.
    options = ["-N", "-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none", "-L", forward]
    tunnel = await _Tunnel.start(name, port, reach.ssh(*options))
    try:
        await _until_open(tunnel)
    except BaseException:
        await tunnel.close()
        raise
    return tunnel


async def _spawn(command: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


async def _until_open(tunnel: _Tunnel) -> None:
    deadline = asyncio.get_running_loop().time() + _TUNNEL_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
            writer.close()
            return
        except OSError:
            pass
        if tunnel.process.returncode is not None:
            assert tunnel.process.stderr is not None
            told = (await tunnel.process.stderr.read()).decode(errors="replace").strip()
            raise HostError(tunnel.host, f"cannot be reached over ssh: {told}", reached=False)
        if asyncio.get_running_loop().time() > deadline:
            raise HostError(tunnel.host, f"no tunnel within {_TUNNEL_SECONDS} s", reached=False)
        await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _kubeconfig(site: Site, hosts: Sequence[str]) -> dict[str, Any]:
    failures = []
    for name in hosts:
        try:
            document: dict[str, Any] = yaml.safe_load(await site.run(name, f"cat {KUBECONFIG}"))
            return document
        except HostError as error:
            failures.append(str(error))
    raise NoApi("no control plane has an administrator's kubeconfig:\n" + "\n".join(failures))


@asynccontextmanager
async def _clients(document: dict[str, Any], tunnels: Sequence[_Tunnel]) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        # Clients follow their files, so these live as long as they do.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kdist-")))
        ports = {"every": [tunnel.port for tunnel in tunnels], **{t.host: [t.port] for t in tunnels}}
        clients = {
            name: await stack.enter_async_context(_client(document, directory / f"{name}.conf", mine))
            for name, mine in ports.items()
        }
        yield Api(clients.pop("every"), clients)


def _client(document: dict[str, Any], path: Path, ports: Sequence[int]) -> Client:
    urls = [f"https://127.0.0.1:{port}" for port in ports]
    cluster = {
        **document["clusters"][0]["cluster"],
        "server": urls[0],
        "extensions": [{"name": SERVERS_EXTENSION, "extension": {"servers": urls}}],
    }
    changed = {**document, "clusters": [{**document["clusters"][0], "cluster": cluster}]}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(changed))
    try:
        return Client.from_kubeconfig(path, user_agent=USER_AGENT)
    except KubeconfigError as error:
        raise NoApi(f"{KUBECONFIG} of the control planes is not usable: {error}") from error
