"""A host that loses its power in each phase of an install: the run says so and stops, the next one goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run

NAME, SUBNET = "dies", "10.97.0.0/24"
# (what the run says when a phase begins, the host that dies then): every role, control plane and worker in turn.
DEATHS = (
    ("TASK [preflight :", "w1"),
    ("TASK [release : Send the bundle]", "cp1"),
    ("TASK [release : Install the kdist release]", "w1"),
    ("TASK [runtime :", "cp1"),
    ("TASK [pki :", "w1"),
    ("TASK [control_plane : Find", "cp1"),
    ("TASK [control_plane : Write the static pod manifests]", "cp1"),
    ("TASK [agent :", "w1"),
    ("TASK [addons :", "cp1"),
)


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """Two hosts with nothing on them."""
    inventory = ROOT / "inventory" / "lab-dies"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    up = ["kdist", "lab", "up", "--name", NAME, "--hosts", "2", "--subnet", SUBNET]
    run([*up, "--inventory", str(inventory / "hosts.yml")], timeout=400)
    yield Cluster(inventory, NAME)
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def install_until(cluster: Cluster, mark: str, host: str) -> str:
    """Run site.yml, take the host's power when the run says ``mark``, and return what the run said."""
    said = []
    command = ["ansible-playbook", "-i", str(cluster.inventory), "site.yml", "--timeout", "5"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as playbook:
        assert playbook.stdout is not None
        for line in playbook.stdout:
            said.append(line)
            if mark in line and not any(mark in earlier for earlier in said[:-1]):
                cluster.lab("crash", host)
    assert any(mark in line for line in said), f"{mark} was never said:\n{''.join(said)}"
    assert playbook.returncode, f"the run passed without {host}:\n{''.join(said)}"
    return "".join(said)


def answers(cluster: Cluster, host: str) -> bool:
    return cluster.ssh(host, "systemctl is-active ssh", check=False).strip() == "active"


def test_a_host_may_die_in_each_phase_and_the_next_run_goes_on(bare: Cluster) -> None:
    for mark, host in DEATHS:
        said = install_until(bare, mark, host)
        assert host in said.split("PLAY RECAP")[-1], f"the recap does not name {host}"
        bare.lab("start", host)
        eventually(lambda host=host: answers(bare, host), 60, f"{host} is back after {mark}")
    bare.playbook("site.yml", timeout=600)
    assert bare.ready_nodes() == {"cp1", "w1"}
    recap = changes(bare.playbook("site.yml", timeout=300))
    assert {host: row["changed"] for host, row in recap.items()} == {"cp1": 0, "w1": 0}
