"""``kdist dev``: API server, controllers, scheduler and simulated nodes in this one process.

No root, no etcd, no containers. The order is the order of need: certificates, API server, then the parts that
are its clients; each is a task of one group, so that the failure of any of them ends the command with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import click

from kdist.api.features import Features
from kdist.config.apiserver import ApiServerSettings
from kdist.config.base import settings_options
from kdist.config.dev import DevSettings

HOST = "127.0.0.1"
_CLUSTER = "kdist-dev"
_SERVICES = "10.96.0.0/16"
_DOMAIN = "cluster.local"
_STORAGES = ("memory", "etcd")
_START_SECONDS = 20


@click.command()
@settings_options(DevSettings)
def dev(settings: DevSettings) -> None:
    """Run a whole control plane locally, without root or containers.

    Pods on the simulated nodes turn Running and stay so; they run nothing and have no logs.
    """
    import uvloop

    from kdist.telemetry import log

    if settings.storage not in _STORAGES:
        raise click.UsageError(f"--storage must be one of {', '.join(_STORAGES)}, not {settings.storage!r}")
    if settings.only not in (None, "apiserver"):
        raise click.UsageError(f"--only must be apiserver, not {settings.only!r}")
    if not 0 <= settings.nodes <= 250:
        raise click.UsageError("--nodes must be between 0 and 250")
    try:
        Features.parse(settings.api_level, settings.feature_gates)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    log.setup(settings.log_level)
    with _listening(settings.port) as listener, _reasons():
        uvloop.run(_until_stopped(settings, listener))


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """The listening socket, taken before anything is written or started."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(2048)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise click.ClickException(
                f"port {port} of {HOST} cannot be used: {reason}. Choose another with --port."
            ) from error
        listener.setblocking(False)
        yield listener


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """The failure of a part as one line instead of a group of tracebacks."""
    try:
        yield
    except* (OSError, ValueError) as group:
        raise click.ClickException("; ".join(str(e) for e in _leaves(group))) from group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _until_stopped(settings: DevSettings, listener: socket.socket) -> None:
    task = asyncio.create_task(_run(settings, listener), name="dev")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    click.echo("Stopped.")


async def _run(settings: DevSettings, listener: socket.socket) -> None:
    from kdist.apiserver import lifecycle

    port = listener.getsockname()[1]
    kubernetes = _provision(settings.dir, port)
    ready, stop = asyncio.Event(), asyncio.Event()
    server = lifecycle.serve(
        _api_server(settings, kubernetes, port), ready=ready, stop=stop, listener=listener
    )
    serving = asyncio.create_task(server, name="apiserver")
    try:
        await _first(ready, serving, settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(_ends(serving), name="apiserver ends")
            if settings.only is None:
                await _start_clients(group, settings, kubernetes)
            gc.collect()
            gc.freeze()
            _tell(settings, port)
    finally:
        stop.set()
        if not ready.is_set():
            serving.cancel()  # a server that is still starting does not look at its stop event
        await asyncio.wait([serving])


async def _first(ready: asyncio.Event, serving: asyncio.Task[None], settings: DevSettings) -> None:
    """Wait until the server is ready; raise why when it fails instead or takes too long."""
    waiting = asyncio.create_task(ready.wait(), name="ready")
    await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED, timeout=_START_SECONDS)
    waiting.cancel()
    if serving.done():
        serving.result()
    elif not ready.is_set():
        where = (
            f": does etcd answer at {', '.join(settings.etcd_servers)}?" if settings.storage == "etcd" else ""
        )
        raise click.ClickException(f"the API server is not ready after {_START_SECONDS} seconds{where}")


async def _ends(serving: asyncio.Task[None]) -> None:
    await asyncio.shield(serving)


def _provision(directory: Path, port: int) -> Path:
    """Certificates and kubeconfigs below ``directory``; the place of the files of /etc/kubernetes."""
    from kdist.pki import files
    from kdist.pki.disk import write
    from kdist.pki.plan import KUBERNETES_DIR, Cluster, Host

    cluster = Cluster(_CLUSTER, _SERVICES, _DOMAIN, api_servers=(HOST,), api_port=port)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.provision(directory, cluster, Host(_CLUSTER, HOST, control_plane=True))
    kubernetes = directory / KUBERNETES_DIR.relative_to("/")
    write(directory / "admin.kubeconfig", (kubernetes / "super-admin.conf").read_bytes(), 0o600)
    return kubernetes


def _api_server(settings: DevSettings, kubernetes: Path, port: int) -> ApiServerSettings:
    pki = kubernetes / "pki"
    return ApiServerSettings(
        bind_address=HOST,
        secure_port=port,
        storage=settings.storage,
        etcd_servers=settings.etcd_servers,
        client_ca_file=pki / "ca.crt",
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
        requestheader_client_ca_file=pki / "front-proxy-ca.crt",
        proxy_client_cert_file=pki / "front-proxy-client.crt",
        proxy_client_key_file=pki / "front-proxy-client.key",
        service_account_key_file=(str(pki / "sa.pub"),),
        service_account_signing_key_file=pki / "sa.key",
        service_cluster_ip_range=(_SERVICES,),
        kubelet_client_certificate=pki / "apiserver-kubelet-client.crt",
        kubelet_client_key=pki / "apiserver-kubelet-client.key",
        api_level=settings.api_level,
        feature_gates=settings.feature_gates,
        runtime_config=settings.runtime_config,
        shutdown_grace=2.0,
        log_level=settings.log_level,
    )


async def _start_clients(group: asyncio.TaskGroup, settings: DevSettings, kubernetes: Path) -> None:
    """Controllers, scheduler and nodes, each with the identity that it has in a real cluster."""
    from kdist.agent.simulated.nodes import SimulatedNodes
    from kdist.client.rest import Client
    from kdist.config.controller_manager import ControllerManagerSettings
    from kdist.config.scheduler import SchedulerSettings
    from kdist.controllers.manager import run_controllers
    from kdist.scheduler.run import run_scheduler

    pki = kubernetes / "pki"
    manager = ControllerManagerSettings(
        kubeconfig=kubernetes / "controller-manager/controller-manager.conf",
        controllers=("*", "bootstrap-signer-controller", "token-cleaner-controller"),
        root_ca_file=pki / "ca.crt",
        service_account_private_key_file=pki / "sa.key",
        cluster_signing_cert_file=pki / "ca.crt",
        cluster_signing_key_file=pki / "ca.key",
        api_level=settings.api_level,
        feature_gates=settings.feature_gates,
    )
    scheduler = SchedulerSettings(kubeconfig=kubernetes / "scheduler/scheduler.conf")

    async def controllers() -> None:
        async with Client.from_kubeconfig(
            manager.kubeconfig, user_agent="kdist-controller-manager"
        ) as client:
            await run_controllers(client, manager)

    async def scheduling() -> None:
        async with Client.from_kubeconfig(scheduler.kubeconfig, user_agent="kdist-scheduler") as client:
            await run_scheduler(client, scheduler)

    async def nodes() -> None:
        access = kubernetes / "super-admin.conf"
        async with Client.from_kubeconfig(access, user_agent="kdist-agent") as client:
            await SimulatedNodes(client, settings.nodes, api_level=settings.api_level).run()

    for part in (controllers, scheduling, nodes):
        group.create_task(part(), name=part.__name__)


def _tell(settings: DevSettings, port: int) -> None:
    kubeconfig = settings.dir / "admin.kubeconfig"
    parts = (
        "the API server only" if settings.only else f"a control plane with {settings.nodes} simulated nodes"
    )
    kept = "in memory: everything is gone when it ends" if settings.storage == "memory" else "in etcd"
    click.echo(
        f"kdist dev runs {parts} at https://{HOST}:{port} (Kubernetes API {settings.api_level}, data {kept})."
    )
    click.echo("\nIn another terminal:\n")
    click.echo(f"    export KUBECONFIG={kubeconfig.absolute()}")
    click.echo("    kubectl get nodes" if not settings.only else "    kubectl api-resources")
    if not settings.only:
        click.echo("    kubectl create deployment web --image=nginx --replicas=3")
        click.echo("    kubectl get pods -o wide --watch")
    click.echo("\nCtrl-C ends it.")
