"""One ``kdist dev`` for all integration tests: a control plane and two simulated nodes, on a free port."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 60
STOP_SECONDS = 10


@dataclass(frozen=True)
class Kubectl:
    """kubectl as released, against one cluster and one namespace."""

    binary: str
    kubeconfig: Path
    namespace: str = "default"

    def run(
        self,
        args: tuple[str, ...],
        stdin: str = "",
        env: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The finished command, whatever its end."""
        command = [self.binary, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *args]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=90, check=False, cwd=folder,
            env={**os.environ, "HOME": str(self.kubeconfig.parent), **(env or {})},
        )  # fmt: skip

    def __call__(self, *args: str, stdin: str = "", **env: str) -> str:
        """Standard output; the test fails with both streams when the command does."""
        done = self.run(args, stdin, env)
        assert done.returncode == 0, f"kubectl {' '.join(args)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *args: str, stdin: str = "") -> str:
        """Standard error of a command that must fail."""
        done = self.run(args, stdin)
        assert done.returncode != 0, f"kubectl {' '.join(args)} did not fail:\n{done.stdout}"
        return done.stderr

    def get(self, *args: str) -> Any:
        """The decoded object of ``kubectl get ARGS -o json``."""
        return json.loads(self("get", *args, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> str:
        """``kubectl apply`` of objects."""
        return self("apply", "-f", "-", stdin="\n".join(json.dumps(m) for m in manifests))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """A command that goes on by itself; the caller ends it."""
        command = [self.binary, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *args]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_dev(directory: Path, *options: str) -> subprocess.Popen[str]:
    """``kdist dev`` in its own process; returns when it says that it runs."""
    command = [sys.executable, "-m", "kdist.cli.main", "dev", "--dir", str(directory), *options]
    log = (directory / "dev.log").open("w+")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + START_SECONDS
    while "Ctrl-C ends it." not in (directory / "dev.log").read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"kdist dev did not start:\n{(directory / 'dev.log').read_text()}")
        time.sleep(0.1)
    log.close()
    return process


def stop_dev(process: subprocess.Popen[str]) -> int:
    """Ctrl-C; the exit code."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"kdist dev did not end within {STOP_SECONDS} seconds of Ctrl-C")


def eventually(check: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """The first true answer of ``check``; the test fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what}"
        time.sleep(0.1)
    return answer


@pytest.fixture(scope="session")
def kubectl_binary() -> str:
    """The kubectl on PATH; without one nothing here means anything."""
    binary = shutil.which("kubectl")
    if binary is None:
        pytest.fail("kubectl is not on PATH: install it, or run scripts/test, which brings its own")
    return binary


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The admin kubeconfig of the session's ``kdist dev``."""
    directory = tmp_path_factory.mktemp("dev")
    process = start_dev(directory, "--port", "0")
    yield directory / "admin.kubeconfig"
    assert stop_dev(process) == 0


@pytest.fixture(scope="session")
def cluster(kubectl_binary: str, kubeconfig: Path) -> Kubectl:
    """kubectl in the default namespace, once the nodes are ready."""
    kubectl = Kubectl(kubectl_binary, kubeconfig)
    eventually(lambda: len(kubectl.get("nodes")["items"]) == 2, "two nodes")
    kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
    return kubectl


@pytest.fixture
def kubectl(cluster: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    yield replace(cluster, namespace=name)
    cluster("delete", "namespace", name, "--wait=false")
