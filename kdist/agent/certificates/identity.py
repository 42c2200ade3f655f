"""Who this node is to the cluster: its client certificate, the first by token, and its serving certificate.

Until the client certificate is there, everything that calls the API waits (a client without access); static pods
do not wait. SIGHUP makes the agent look at its files anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from pathlib import Path

from kdist.agent import servers as api_servers
from kdist.agent.certificates import plan
from kdist.agent.certificates.keeper import SETTLE_SECONDS, Keeper, Places
from kdist.agent.certificates.plan import Found
from kdist.agent.certificates.requests import Asking
from kdist.agent.server import node as node_server
from kdist.agent.servers import Servers
from kdist.client import kubeconfig
from kdist.client.kubeconfig import Access
from kdist.client.rest import Client
from kdist.config.agent import AgentSettings
from kdist.pki.following import Followed


class Identity:
    """Both certificates of a node. ``client`` is given its access here."""

    def __init__(
        self, settings: AgentSettings, client: Client, node: str, addresses: tuple[str, ...]
    ) -> None:
        assert settings.kubeconfig is not None  # the agent makes none of us without
        self._kubeconfig, self._bootstrap = settings.kubeconfig, settings.bootstrap_kubeconfig
        self._client, self._addresses = client, addresses
        self._servers = Servers(client, settings.cert_dir / "api-servers")
        self._served = asyncio.Event()
        own, port = plan.client(node), plan.serving(node, addresses)
        self._asking_client, self._asking_serving = Asking(own), Asking(port)
        self._known = False
        self.client_keeper: Keeper | None = None
        self.serving_keeper: Keeper | None = None
        places = Places(settings.cert_dir, settings.client_ca_file)
        if settings.rotate_certificates:
            # With a token at hand, what is there may have ended.
            waits = self._bootstrap is not None and self._bootstrap.exists()
            self.client_keeper = Keeper(
                own,
                places,
                self._ask_client,
                self._adopt_client,
                self._joined,
                settle_seconds=0 if waits else SETTLE_SECONDS,
            )
        if settings.rotate_server_certificates:
            self.serving_keeper = Keeper(port, places, self._ask_serving, self._serve)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep the certificates in ``group``."""
        for keeper in (self.client_keeper, self.serving_keeper):
            if keeper is not None:
                group.create_task(keeper.run(), name=f"certificate {keeper.wanted.name}")
        group.create_task(self._servers.run(), name="api servers")

    def poke(self) -> None:
        """Look at the files again."""
        for keeper in (self.client_keeper, self.serving_keeper):
            if keeper is not None:
                keeper.poke()

    # The client certificate.

    async def _ask_client(self, found: Found | None) -> bytes:
        """By the node's own certificate while it serves, else by the bootstrap token."""
        if found is not None:
            return await self._asking_client.ask(self._client)
        if self._bootstrap is None:
            raise kubeconfig.KubeconfigError(
                "no client certificate that serves, and no --bootstrap-kubeconfig"
            )
        access = kubeconfig.load(self._bootstrap)  # read anew: a later token may have come
        async with Client(access, user_agent="kdist-agent/bootstrap") as client:
            return await self._asking_client.ask(client)

    def _access(self) -> Access:
        access = kubeconfig.load(self._kubeconfig)
        servers = api_servers.order(api_servers.read(self._servers.file), access.servers, self._addresses)
        return dataclasses.replace(access, servers=servers, files=(*access.files, self._servers.file))

    def _adopt_client(self, _: Path) -> None:
        """The first time; from then on the client follows the files."""
        if not self._known:
            self._client.use(Followed(self._access, lambda access: access.files))
            self._known = True

    def _joined(self) -> None:
        if self._bootstrap is not None:
            self._bootstrap.unlink(missing_ok=True)  # its token has served

    # The serving certificate.

    async def serving_certificate(self, settings: AgentSettings) -> tuple[Path, Path]:
        """Certificate's and key's file, once there are some."""
        if self.serving_keeper is None:
            return node_server.serving_certificate(settings, self._addresses)
        await self._served.wait()
        return self.serving_keeper.file, self.serving_keeper.file

    async def _ask_serving(self, _: Found | None) -> bytes:
        return await self._asking_serving.ask(self._client)

    def _serve(self, file: Path) -> None:
        """The port follows the file, and must not begin with one that it cannot use. Raises ssl.SSLError."""
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
        self._served.set()
