"""Running ``kdist upgrade`` from tests: to its end, or until a step begins and then no further."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import ROOT, Cluster, run

OLD, NEW = "0.1.0", "0.2.0"
OLD_LEVEL, NEW_LEVEL = "1.32", "1.33"
BUNDLE = ROOT / "dist" / f"bundle-{NEW}"
LOAD = ROOT / "tests" / "bench" / "upgrade_load.py"


def build_bundles() -> None:
    """That of the checkout's version, and one of the same sources as the next version and API level."""
    run(["kdist", "bundle", "build"], timeout=900)
    new = ["--version", NEW, "--api-level", NEW_LEVEL, "--out", str(BUNDLE)]
    run(["kdist", "bundle", "build", *new], timeout=900)


@dataclass(frozen=True)
class Upgrading:
    """``kdist upgrade`` against a cluster of tests."""

    cluster: Cluster

    def __call__(self, action: str, *more: str, check: bool = True, timeout: float = 900) -> str:
        """Both streams of a command; with ``check`` it must succeed, else it must fail."""
        done = subprocess.run(
            self.command(action, *more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode == 0) == check, (
            f"{action} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout + done.stderr

    def command(self, action: str, *more: str) -> list[str]:
        bundle = ["--bundle", str(BUNDLE)] if action in ("plan", "apply") else []
        return ["kdist", "upgrade", action, "-i", str(self.cluster.inventory), *bundle, *more]

    def kill_at(self, step: str, action: str, *more: str, after: float = 0, timeout: float = 600) -> None:
        """Start a command and kill -9 it when a step has been under way for ``after`` seconds, or is over before."""
        with subprocess.Popen(
            self.command(action, *more), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            self.wait_for(step, process, timeout)
            deadline = time.monotonic() + after
            while time.monotonic() < deadline and self.states().get(step) == "running":
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)

    def wait_for(self, step: str, process: subprocess.Popen[str], timeout: float = 600) -> None:
        """Until a step is under way, or over; the command must live until then."""
        deadline = time.monotonic() + timeout
        while self.states().get(step) not in ("running", "done"):
            if process.poll() is not None:
                assert process.stdout is not None
                raise AssertionError(f"ended before {step} began:\n{process.stdout.read()}")
            assert time.monotonic() < deadline, f"{step} did not begin within {timeout} s: {self.states()}"
            time.sleep(0.05)

    def journal(self) -> dict[str, Any]:
        """The journal as it lies beside the inventory; empty before the first."""
        try:
            found: dict[str, Any] = json.loads((self.cluster.inventory / ".kdist/upgrade.json").read_text())
            return found
        except FileNotFoundError:
            return {}

    def states(self) -> dict[str, str]:
        """Step to state."""
        return {entry["name"]: entry["state"] for entry in self.journal().get("entries", [])}

    def unfinished(self) -> bool:
        """Whether an operation has begun and is not done."""
        return self.journal().get("state", "done") != "done"

    def versions(self) -> dict[str, str]:
        """Node to the version its agent reports."""
        items = self.cluster.get("nodes")["items"]
        return {n["metadata"]["name"]: n["status"]["nodeInfo"]["kubeletVersion"] for n in items}

    def cordoned(self) -> list[str]:
        """Nodes that take no pods."""
        items = self.cluster.get("nodes")["items"]
        return [node["metadata"]["name"] for node in items if node["spec"].get("unschedulable")]


@contextmanager
def load(cluster: Cluster, seen: dict[str, Any], *urls: str, rate: float = 20) -> Iterator[None]:
    """A client that writes and reads while the block runs; ``seen`` has what it saw afterwards."""
    command = [*cluster.inside("nsenter"), sys.executable, str(LOAD), "--rate", str(rate)]
    targets = [str(cluster.inventory / "admin.conf"), *urls]
    with subprocess.Popen(
        [*command, *targets], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield
        finally:
            out, _ = process.communicate("stop\n", timeout=60)
    seen.update(json.loads(out))


def lost_writes(cluster: Cluster, seen: dict[str, Any]) -> set[str]:
    """Acknowledged writes that are not there."""
    items = cluster.get("configmaps", "-n", "upgrade-load")["items"]
    return set(seen["acknowledged"]) - {item["metadata"]["name"] for item in items}


def set_level(inventory: Path, level: str) -> None:
    """What an operator does to the cluster file before an upgrade that moves the API level."""
    directory = inventory / "group_vars"
    directory.mkdir(exist_ok=True)
    (directory / "all.yml").write_text(f'kdist_api_level: "{level}"\n')
