"""One real cluster for the end-to-end tests: three lab hosts, installed by site.yml like any other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# SITE_LAB="NAME NET" gives the lab another name and the first three numbers of its addresses.
NAME, NET = os.environ.get("SITE_LAB", "site 10.76.0").split()
SUBNET = f"{NET}.0/24"
# HA_LAB="NAME NET" gives the lab of several control planes another name and the first three numbers of its addresses.
HA, HA_NET = os.environ.get("HA_LAB", "ha 10.75.0").split()
VIP = f"{HA_NET}.100"
CONTROL_PLANES = ("cp1", "cp2", "cp3")
FIRST = {"cp1", "w1"}
CONTROL_PLANE, WORKERS = f"{NET}.11", (f"{NET}.12", f"{NET}.13")


def run(command: Sequence[str], *, timeout: float = 120, check: bool = True, **more: Any) -> str:
    """Standard output of a command; on failure the error carries both streams."""
    done = subprocess.run(
        command, cwd=ROOT, timeout=timeout, capture_output=True, text=True, check=False, **more
    )
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def eventually(probe: Callable[[], Any], timeout: float, what: str) -> Any:
    """The first truthy answer of ``probe`` within ``timeout`` seconds; its failures count as "not yet"."""
    deadline, last = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        try:
            if answer := probe():
                return answer
        except AssertionError as error:
            last = error
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {timeout} s" + (f"; last: {last}" if last else ""))


@dataclass(frozen=True)
class Cluster:
    """The running cluster as an operator sees it."""

    inventory: Path
    name: str = NAME

    def kubectl(self, *arguments: str, timeout: float = 120, check: bool = True, **more: Any) -> str:
        """kubectl as released, from outside the hosts."""
        command = [*self.kubectl_command(), *arguments]
        return run(command, timeout=timeout, check=check, **more)

    def kubectl_command(self) -> list[str]:
        """The command line up to kubectl's arguments, for tests that talk to it while it runs."""
        kubectl = shutil.which("kubectl")
        assert kubectl, "kubectl is not on PATH; scripts/test takes it from the bundle"
        return [*self.inside("nsenter"), kubectl, "--kubeconfig", str(self.inventory / "admin.conf")]

    def inside(self, tool: str) -> list[str]:
        """Prefix that runs a command in the lab's network, outside every host."""
        return [tool, f"--net=/run/netns/kdist-{self.name}"]

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object or list as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def ssh(self, host: str, command: str, *, check: bool = True, timeout: float = 60) -> str:
        """A shell command on a host."""
        return run(["kdist", "lab", "ssh", "--name", self.name, host, command], check=check, timeout=timeout)

    def lab(self, action: str, host: str) -> None:
        """crash, start, cut, heal, poweroff."""
        run(["kdist", "lab", action, "--name", self.name, host])

    def playbook(self, *arguments: str, check: bool = True, timeout: float = 300) -> str:
        """ansible-playbook against this cluster."""
        return run(["ansible-playbook", "-i", str(self.inventory), *arguments], check=check, timeout=timeout)

    def http(self, url: str) -> str:
        """The body of a URL, asked from outside the hosts."""
        code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=3).read().decode(), end='')"
        return run([*self.inside("nsenter"), "python3", "-c", code])

    def apply(self, manifest: str) -> None:
        """kubectl apply of a text."""
        self.kubectl("apply", "-f", "-", input=manifest)

    def ready_nodes(self) -> set[str]:
        """Names of nodes that are Ready."""
        out = self.kubectl("get", "nodes", "--no-headers")
        return {line.split()[0] for line in out.splitlines() if line.split()[1].split(",")[0] == "Ready"}


def changes(recap: str) -> dict[str, dict[str, int]]:
    """ansible-playbook's recap: host to its counters."""
    rows = re.findall(r"^(\S+)\s+: (ok=.*)$", recap, re.M)
    return {host: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counters)} for host, counters in rows}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one control plane and two workers, gone afterwards (KEEP_LAB=1 keeps it)."""
    inventory = ROOT / "inventory" / "lab-e2e"
    if not os.environ.get("REUSE_LAB"):
        run(["kdist", "bundle", "build"], timeout=900)
        run(["kdist", "lab", "down", "--name", NAME])
        up = [
            "kdist",
            "lab",
            "up",
            "--name",
            NAME,
            "--subnet",
            SUBNET,
            "--inventory",
            str(inventory / "hosts.yml"),
        ]
        run(up, timeout=400)
        run(["ansible-playbook", "-i", str(inventory), "site.yml"], timeout=600)
    yield Cluster(inventory)
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:50]
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def only(inventory: dict[str, Any], hosts: set[str]) -> dict[str, Any]:
    """The inventory of some of the hosts."""
    everything = inventory["all"]
    children = {
        group: {**content, "hosts": {h: v for h, v in content["hosts"].items() if h in hosts}}
        if "hosts" in content
        else content
        for group, content in everything["children"].items()
    }
    kept = {h: v for h, v in everything["hosts"].items() if h in hosts}
    return {"all": {**everything, "hosts": kept, "children": children}}


def write(inventory: Path, content: dict[str, Any]) -> None:
    (inventory / "hosts.yml").write_text(yaml.safe_dump(content))


def _grow(cluster: Cluster) -> None:
    hosts = cluster.inventory / "hosts.yml"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", HA])
    size = ["--hosts", "5", "--control-planes", "3", "--subnet", f"{HA_NET}.0/24"]
    run(["kdist", "lab", "up", "--name", HA, *size, "--inventory", str(hosts)], timeout=400)
    whole = yaml.safe_load(hosts.read_text())
    whole["all"]["vars"] |= {"kdist_api_vip": VIP, "kdist_pod_cidr": "10.128.0.0/10"}
    write(cluster.inventory, only(whole, FIRST))
    cluster.playbook("site.yml", timeout=600)
    write(cluster.inventory, only(whole, {*FIRST, *CONTROL_PLANES}))
    cluster.playbook("site.yml", timeout=600)
    (cluster.inventory / "every-host.txt").write_text(yaml.safe_dump(whole))


@pytest.fixture(scope="session")
def grown() -> Iterator[Cluster]:
    """A cluster of one control plane and one worker to which two control planes were added; host w2 is bare."""
    inventory = ROOT / "inventory" / f"lab-{HA}"
    cluster = Cluster(inventory, HA)
    if not os.environ.get("REUSE_LAB"):
        _grow(cluster)
    yield cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", HA])
        shutil.rmtree(inventory, ignore_errors=True)


def members(cluster: Cluster, host: str) -> dict[str, bool]:
    """Name of every etcd member to whether it may vote, as a control plane tells it."""
    pki = "--cacert=ca.crt --cert=healthcheck-client.crt --key=healthcheck-client.key"
    command = f"cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl {pki} --write-out=json member list"
    listed = json.loads(cluster.ssh(host, command))["members"]
    # One that has never been started has no name.
    return {member.get("name", ""): not member.get("isLearner", False) for member in listed}
