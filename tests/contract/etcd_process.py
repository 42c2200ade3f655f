"""A real etcd for tests that stop, kill, fill and restore it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One member, without TLS. ``data`` stays when it is stopped."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.data, self._log = name, directory / f"{name}.etcd", directory / f"{name}.log"
        self.client, self.peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.etcd = Etcdctl([self.client], None)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, cluster: Sequence[Process] = (), wait: bool = True) -> None:
        """Start it as one of ``cluster`` (default: alone)."""
        command = ["etcd", "--name", self.name, "--data-dir", str(self.data), "--heartbeat-interval=50"]
        command += ["--listen-client-urls", self.client, "--advertise-client-urls", self.client]
        command += ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer]
        peers = ",".join(f"{one.name}={one.peer}" for one in cluster or [self])
        command += ["--initial-cluster", peers, "--election-timeout=500", *more]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        if wait:
            self.wait_for_quorum()

    def wait_for_quorum(self, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.etcd.read_consistently()
                return
            except EtcdctlError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.name}: {error}\n{self._log.read_text()[-2000:]}") from error

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def ended_within(self, timeout: float) -> bool:
        """Whether it ends by itself."""
        assert self._process is not None
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def promoted(self, name: str, timeout: float = 30) -> None:
        """Give a learner its vote as soon as it has caught up."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                mine = next((m for m in self.etcd.members() if m.name == name), None)
                if mine is not None and not mine.learner:
                    return
                if mine is not None:
                    self.etcd.promote(mine)
            except EtcdctlError:
                if time.monotonic() > deadline:
                    raise

    def put(self, key: str, value: str) -> int:
        """The revision of the write."""
        return int(self.etcd.run("put", key, value)["header"]["revision"])

    def keys(self, prefix: str = "") -> list[str]:
        return self.etcd.key_names(prefix)
