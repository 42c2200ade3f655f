"""The life of an API server: put together, started, stopped.

Public entry points::

    async with running(settings) as server:          # in process: tests, `kdist dev`
        server.url, server.ca_pem                    # where it is, and how to verify it
    await serve(settings, ready=event, stop=event)   # until `stop` is set (or cancelled)

``settings.secure_port`` 0 takes a free port. Users authenticate by client certificates of
``settings.client_ca_file``; a certificate with O=system:masters may do everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from kdist.api.errors import ApiError
from kdist.api.features import Features
from kdist.api.scheme import Scheme
from kdist.apiserver import background, encryption, peers, periphery, tls
from kdist.apiserver.admission import Plugin, default_chain
from kdist.apiserver.admission.policies import MutatingPolicies, ValidatingPolicies
from kdist.apiserver.admission.policies.configured import MUTATING_POLICIES
from kdist.apiserver.admission.policies.typechecking import TypeChecking
from kdist.apiserver.admission.webhooks import MutatingWebhooks, ValidatingWebhooks, WebhookClient
from kdist.apiserver.aggregation.layer import Aggregation
from kdist.apiserver.allocators import open_allocator
from kdist.apiserver.app import Application
from kdist.apiserver.audit import open_auditor
from kdist.apiserver.bootstrap import ensure_defaults, publish_authorities
from kdist.apiserver.core import Core
from kdist.apiserver.crd.registration import Registration
from kdist.apiserver.flowcontrol.gate import gate_of
from kdist.apiserver.flowcontrol.upkeep import Upkeep
from kdist.apiserver.loopback import CacheLookup, CacheReader, RegistryWriter
from kdist.apiserver.masters import Masters
from kdist.apiserver.measuring import MeasuredStorage
from kdist.apiserver.security import Security
from kdist.apiserver.server import Server, bind
from kdist.apiserver.serviceranges import ServiceRanges
from kdist.config.apiserver import ApiServerSettings
from kdist.storage.interface import Storage, StorageError
from kdist.storage.memory import MemoryStorage
from kdist.telemetry import gates, log

_log = log.get(__name__)
RETRY_SECONDS = 1.0


def open_storage(settings: ApiServerSettings) -> Storage:
    """The backend that the settings name. ValueError for an unknown one."""
    if settings.storage == "memory":
        return MemoryStorage()
    if settings.storage == "etcd":
        from kdist.storage.etcd import EtcdStorage  # protobuf and TLS clients: only when used

        etcd = EtcdStorage(
            settings.etcd_servers,
            ca_file=settings.etcd_cafile,
            cert_file=settings.etcd_certfile,
            key_file=settings.etcd_keyfile,
        )
        return MeasuredStorage(etcd)
    raise ValueError(f"unknown storage {settings.storage!r}: must be etcd or memory")


def advertised_address(settings: ApiServerSettings) -> str:
    """Where others reach this server: as configured, else the source address of the default route."""
    if settings.advertise_address:
        return settings.advertise_address
    if settings.bind_address not in ("0.0.0.0", "::"):
        return settings.bind_address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks the routing table
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


class ApiServer:
    """One API server process: its core, its HTTPS server, its background work."""

    def __init__(
        self,
        settings: ApiServerSettings,
        *,
        storage: Storage | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._settings = settings
        auditor = open_auditor(settings)  # first: a wrong policy leaves nothing behind
        self._listener = listener or bind(settings.bind_address, settings.secure_port)
        self.port: int = self._listener.getsockname()[1]
        self.address = advertised_address(settings)
        features = Features.parse(settings.api_level, settings.feature_gates)
        gates.publish(features)
        scheme = Scheme.load(settings.api_level, features=features, runtime_config=settings.runtime_config)
        opened = storage or open_storage(settings)
        self._measured = opened if isinstance(opened, MeasuredStorage) else None
        backend = encryption.around(opened, settings, scheme)
        self.core = Core(settings, scheme, backend)
        self._tls = tls.ServerTls(settings, [self.address])
        self.ca_pem = self._tls.certificate
        self._reader = CacheReader(self.core)
        self._writer = RegistryWriter(self.core)
        self._webhooks = WebhookClient(self._reader)
        self._definitions = Registration(self.core, self._reader, self._writer, self._webhooks)
        self._definitions.follow()
        self._flow_control = Upkeep(self._reader, self._writer, self.core.scheme)
        self.core.aggregation = Aggregation(
            self.core, self._reader, self._writer, ready=lambda: self._bootstrapped
        )
        self.core.aggregation.follow()
        self._type_checking = TypeChecking(self._reader, self._writer, scheme)
        self._type_checking.follow()
        self._ranges: ServiceRanges | None = None
        if features("MultiCIDRServiceAllocator"):
            self._ranges = ServiceRanges(self.core, self._reader, self._writer)
            self._ranges.follow()
        self._compose()
        self._bootstrapped = False
        self._masters: Masters | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.core.auditor = auditor
        self._server = self._http_server()

    @property
    def url(self) -> str:
        """Where clients on this host reach the server."""
        return f"https://127.0.0.1:{self.port}"

    # ----- putting together

    def _compose(self) -> None:
        core = self.core
        self._security = Security(self._settings, self._reader, self._writer)
        # At once, so that no client is let in by TLS whom authentication does not know.
        self._tls.followed.on_change(lambda _: self._security.reload_authorities())
        core.token_keys, core.token_issuer = self._security.keys, self._security.issuer
        core.authenticator, core.authorizer = self._security.authenticator, self._security.authorizer
        asking = (self._reader, self._writer, core.scheme, self._webhooks, core.authorizer)
        applying = (self._reader, self._writer, core.scheme, core.authorizer, CacheLookup(core))
        mutating: tuple[Plugin, ...] = ()
        if core.scheme.by_kind(MUTATING_POLICIES.api_version, MUTATING_POLICIES.kind) is not None:
            mutating = (MutatingPolicies(*applying),)
        core.admission = default_chain(
            self._reader,
            self._writer,
            core.authorizer,
            core.scheme.features,
            extensions=(
                *mutating,
                MutatingWebhooks(*asking),
                ValidatingPolicies(*applying),
                ValidatingWebhooks(*asking),
            ),
        )

    def _http_server(self) -> Server:
        self.app = Application(
            self.core,
            periphery.build(
                self.core,
                live={"ping": _ok},
                ready={
                    "etcd": self._check_storage,
                    "poststarthook/bootstrap": self._check_bootstrap,
                    "kms-providers": self._check_plugins,
                    "shutdown": self._check_shutdown,
                },
                address=f"{self.address}:{self.port}",
            ),
        )
        return Server(
            self.app, self._tls.context, grace=self._settings.shutdown_grace, on_stop=self._end_streams
        )

    # ----- health

    async def _check_storage(self) -> str | None:
        try:
            async with asyncio.timeout(2.0):
                await self.core.storage.current_revision()
        except (StorageError, TimeoutError) as error:
            return f"storage does not answer: {error}"
        return None

    async def _check_bootstrap(self) -> str | None:
        return None if self._bootstrapped else "not finished"

    async def _check_plugins(self) -> str | None:
        return encryption.plugins_health(self.core.storage)

    async def _check_shutdown(self) -> str | None:
        return "process is shutting down" if self.core.draining else None

    # ----- life

    async def start(self) -> None:
        """Serve, and load what every request needs; returns when the server is ready."""
        self.core.gate = gate_of(self._settings, self.core.object_count)
        if self.core.auditor is not None:
            self._spawn(self.core.auditor.run(), "audit")
        await encryption.start(self.core.storage)
        self._spawn(self.core.hub.run(), "hub")
        await self.core.hub.started()
        await self._reader.start()
        allocator = await open_allocator(self.core.hub, self._settings, with_objects=self._ranges is not None)
        self.core.companions = {("", "services"): allocator}
        self._spawn(self._server.serve([self._listener]), "https")
        self._spawn(self._definitions.run(), "custom-resource-definitions")
        self._spawn(self._type_checking.run(), "admission-policy-status")
        await self._bootstrap()
        await self._flow_control.start(self.core.gate)
        self._spawn(self._flow_control.run(), "flow-control")
        self._masters = Masters(
            self.core.storage,
            self._writer,
            address=self.address,
            port=self.port,
            service_ip=allocator.default_range.first,
        )
        await self._masters.try_reconcile()
        if self._ranges is not None:
            self._spawn(self._ranges.run(allocator), "service-ranges")
        self._spawn(self._masters.run(), "masters")
        for name, work in self._security.works().items():
            self._spawn(work, name)
        for name, work in self.core.aggregation.works().items():
            self._spawn(work, name)
        if self._measured is not None:
            self._spawn(self._measured.follow_size(), "storage-size")
        for name, work in background.of(self.core, self._writer).items():
            self._spawn(work, name)
        _log.info("ready", url=self.url, level=self._settings.api_level)

    def _spawn(self, work: object, name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))  # type: ignore[arg-type]

    async def _bootstrap(self) -> None:
        while True:
            try:
                await ensure_defaults(self._writer)
                await publish_authorities(self._writer, self._settings)
            except ApiError as error:
                _log.warning("cannot create the default objects yet", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._bootstrapped = True
                return

    def _end_streams(self) -> None:
        self.core.stopping.set()
        for cache in self.core.hub.caches():
            cache.end_watches()

    async def stop(self) -> None:
        """Say so in readyz for a while, refuse new requests, finish what is under way, let go of everything."""
        self.core.draining = True
        if self._settings.shutdown_delay_duration > 0:
            _log.info("stopping after a delay", seconds=self._settings.shutdown_delay_duration)
            await asyncio.sleep(self._settings.shutdown_delay_duration)
        self._server.stop()
        await self._end("https", cancel=False)
        await self._end("masters")
        if self._masters is not None:
            with contextlib.suppress(ApiError, StorageError):  # it expires by itself
                await self._masters.leave()
        await self._end()
        if self.core.auditor is not None:
            await self.core.auditor.close()
        await self.core.forwarder.close()
        await self._webhooks.close()
        await self._security.close()
        await self.core.storage.close()

    async def _end(self, name: str = "", *, cancel: bool = True) -> None:
        """Wait for the tasks of that name (all when empty), which a cancellation ends."""
        tasks = [task for task in self._tasks if not name or task.get_name() == name]
        for task in tasks if cancel else ():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Until a part of the server fails, which it raises."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _ok() -> None:
    return None


@contextlib.asynccontextmanager
async def running(settings: ApiServerSettings, *, storage: Storage | None = None) -> AsyncIterator[ApiServer]:
    """A started server for the length of the block."""
    server = ApiServer(settings, storage=storage)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def serve(
    settings: ApiServerSettings,
    *,
    ready: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
    listener: socket.socket | None = None,
) -> None:
    """Run a server until ``stop`` is set; ``ready`` is set when it answers. Raises what makes it fail."""
    server = ApiServer(settings, listener=listener)
    stop = stop or asyncio.Event()
    workers = contextlib.AsyncExitStack()
    try:
        await server.start()
        await workers.enter_async_context(peers.listening())
        if ready is not None:
            ready.set()
        stopped = asyncio.create_task(stop.wait(), name="stop")
        failed = asyncio.create_task(server.wait(), name="failure")
        done, pending = await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if failed in done:
            failed.result()
    finally:
        await workers.aclose()
        await server.stop()
