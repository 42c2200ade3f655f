"""API servers to measure: ours, and upstream's when there is a binary; each with an etcd (and fsync) of its own."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import psutil
from load import Client

from kdist.pki.issue import create_authority, issue, service_account_pair
from kdist.pki.plan import AuthoritySpec, LeafSpec

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60
POLL_SECONDS = 0.02
STOP_SECONDS = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_certificates(directory: Path) -> None:
    """ca, server, admin (a master) and service-account keys."""
    directory.mkdir(parents=True)
    authority = create_authority(AuthoritySpec("ca", "bench", PurePosixPath("ca")))
    leaves = (
        LeafSpec("server", "ca", "kube-apiserver", None, server=True, hosts=("127.0.0.1", "localhost")),
        LeafSpec("admin", "ca", "admin", None, organizations=("system:masters",)),
    )
    pairs = {"ca": authority, **{leaf.name: issue(leaf, authority) for leaf in leaves}}
    for name, pair in pairs.items():
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.key)
    private, public = service_account_pair()
    (directory / "sa.key").write_bytes(private)
    (directory / "sa.pub").write_bytes(public)


def client_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    return context


class Server:
    """A running API server with its etcd."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, certificates: Path) -> None:
        self.name, self.port = name, free_port()
        self._command, self._directory, self._certificates = command, directory, certificates
        self._etcd: subprocess.Popen[bytes] | None = None
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self._directory)

    async def start(self) -> None:
        """Start both, and wait until the server is ready. SystemExit when it does not get so."""
        self._directory.mkdir(parents=True)
        client, peer = self._etcd_url, f"http://127.0.0.1:{free_port()}"
        etcd = [
            "etcd",
            "--data-dir",
            "data",
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
        ]
        etcd += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        self._etcd = self._start("etcd", [*etcd, "--initial-cluster", f"default={peer}"])
        await self.serve()

    async def serve(self) -> None:
        """Start the API server on the etcd that runs, and wait until it is ready."""
        at = self._certificates
        self._process = self._start(
            "apiserver",
            [
                *self._command,
                *("--bind-address", "127.0.0.1", "--secure-port", str(self.port)),
                *("--etcd-servers", self._etcd_url, "--client-ca-file", str(at / "ca.crt")),
                *("--tls-cert-file", str(at / "server.crt")),
                *("--tls-private-key-file", str(at / "server.key")),
                *("--service-account-key-file", str(at / "sa.pub")),
                *("--service-account-signing-key-file", str(at / "sa.key")),
                *("--service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
                *("--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "Node,RBAC"),
            ],
        )
        await self._ready()

    async def _ready(self) -> None:
        for _ in range(round(READY_SECONDS / POLL_SECONDS)):
            if self._process is None or self._process.poll() is not None:
                break
            try:
                status, _ = await self.client.once("GET", "/readyz")
            except OSError:
                status = 0
            if status == 200:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise SystemExit(f"{self.name} is not ready: see {self._directory}/apiserver.log")

    @property
    def client(self) -> Client:
        return Client(self.port, client_context(self._certificates))

    @property
    def pid(self) -> int:
        """The API server's process."""
        assert self._process is not None
        return self._process.pid

    def cpu(self) -> float:
        """CPU seconds of the API server so far, its workers included."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
        return float(sum(t.user + t.system for t in times))

    def resident_mib(self) -> float:
        """Memory of the API server, its workers included."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        return float(sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))) / 2**20

    def rest(self) -> None:
        """End the API server; its etcd stays."""
        _end(self._process)
        self._process = None

    def stop(self) -> None:
        """End both."""
        self.rest()
        _end(self._etcd)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """End a process; one that takes long to say goodbye is killed."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ours(workers: int, directory: Path, certificates: Path) -> Server:
    command = [sys.executable, "-c", "from kdist.cli.main import main; main()", "apiserver"]
    return Server("kdist", [*command, "--workers", str(workers)], directory, certificates)


def upstream(binary: Path, directory: Path, certificates: Path) -> Server:
    flags = ["--enable-admission-plugins", "NodeRestriction", "--allow-privileged=true"]
    flags += ["--advertise-address", "192.0.2.1", "--cert-dir", str(directory)]
    return Server("upstream", [str(binary), *flags], directory, certificates)


def check_tools() -> None:
    """SystemExit without etcd."""
    if shutil.which("etcd") is None:
        raise SystemExit("etcd is not installed: apt-get install etcd-server")
