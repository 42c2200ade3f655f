"""One real upgrade to the next version and API level: its operator is killed twice, a host does not come up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Cluster, run
from tests.e2e.upgrading import (
    NEW,
    NEW_LEVEL,
    OLD,
    OLD_LEVEL,
    Upgrading,
    build_bundles,
    load,
    lost_writes,
    set_level,
)

NAME, SUBNET = "up-e2e", "10.81.0.0/24"
# While the agent is of the new version, the host cannot reach the API: its gate stays shut.
SHUT = """\
[Service]
ExecStartPre=/bin/sh -c 'nft delete table inet shut 2>/dev/null; [ "$KDIST_VERSION" != %s ] || nft -f /root/shut.nft'
"""
RULES = "table inet shut { chain out { type filter hook output priority 0; tcp dport 6443 reject; }; }"


@pytest.fixture(scope="module")
def upgrading() -> Iterator[Upgrading]:
    """A small cluster of the old version and the bundle of a new one."""
    inventory = ROOT / "inventory" / "lab-up-e2e"
    build_bundles()
    run(["kdist", "lab", "down", "--name", NAME])
    shutil.rmtree(inventory, ignore_errors=True)
    size = ["--hosts", "2", "--control-planes", "1", "--subnet", SUBNET]
    hosts = ["--inventory", str(inventory / "hosts.yml")]
    run(["kdist", "lab", "up", "--name", NAME, *size, *hosts], timeout=400)
    cluster = Cluster(inventory, NAME)
    cluster.playbook("site.yml", timeout=600)
    set_level(inventory, NEW_LEVEL)
    cluster.kubectl("create", "namespace", "upgrade-load")
    yield Upgrading(cluster)
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def test_site_yml_does_not_move_a_running_cluster(upgrading: Upgrading) -> None:
    told = upgrading.cluster.playbook("site.yml", check=False)
    assert "Nothing was changed" in told
    assert f"serves API level {OLD_LEVEL}, and kdist_api_level is {NEW_LEVEL}" in told
    assert "run `kdist upgrade apply`" in told


def test_killed_shut_out_and_resumed_it_ends_as_planned(upgrading: Upgrading) -> None:
    planned = [step["name"] for step in json.loads(upgrading("plan", "--output", "json"))["steps"]]
    worker, seen = upgrading.cluster, dict[str, Any]()
    with load(upgrading.cluster, seen, rate=5):
        upgrading.kill_at("cp1/upgrade", "apply", after=6)
        upgrading.kill_at("w1/drain", "resume")
        assert "its operator is gone: kdist upgrade resume" in upgrading("status")

        shut = SHUT % NEW
        worker.ssh(
            "w1", f"mkdir -p /etc/systemd/system/kdist-agent.service.d; echo '{RULES}' > /root/shut.nft"
        )
        worker.ssh("w1", f"cat > /etc/systemd/system/kdist-agent.service.d/shut.conf <<'E'\n{shut}E")
        told = upgrading("resume", "--gate-timeout", "20", check=False)
        assert "w1/verify failed: not within 20 s" in told
        assert f"w1 runs {OLD} again; w1 takes pods again" in told
        assert upgrading.versions() == {
            "cp1": f"v{NEW_LEVEL}.0+kdist.{NEW}",
            "w1": f"v{OLD_LEVEL}.0+kdist.{OLD}",
        }
        assert upgrading.cordoned() == []

        worker.ssh(
            "w1", "rm -r /etc/systemd/system/kdist-agent.service.d /root/shut.nft; systemctl daemon-reload"
        )
        upgrading("resume")
    assert list(upgrading.states()) == planned
    assert set(upgrading.states().values()) == {"done"}
    assert set(upgrading.versions().values()) == {f"v{NEW_LEVEL}.0+kdist.{NEW}"}
    assert upgrading.cordoned() == []
    assert seen["acknowledged"]
    assert lost_writes(upgrading.cluster, seen) == set()


def test_an_older_checkout_is_refused_afterwards(upgrading: Upgrading) -> None:
    told = upgrading.cluster.playbook("site.yml", check=False)
    assert f"cp1: runs kdist {NEW}, and this checkout's bundle is {OLD}, which is older" in told
