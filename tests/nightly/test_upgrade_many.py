"""Three control planes and two workers behind an address: kill the operator at every step, then everything unlucky."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.conftest import ROOT, Cluster, eventually, run
from tests.e2e.upgrading import (
    BUNDLE,
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

NAME, SUBNET, VIP = "up-many", "10.91.0.0/24", "10.91.0.100"
INVENTORY = ROOT / "inventory" / "lab-up-many"
HOSTS = {"cp1", "cp2", "cp3", "w1", "w2"}
# Who loses its power, and in which step; the step need not be one of its own. A worker's verification is over before
# its death is noticed: then the next one's drain tells that its pods are missed.
DEATHS = (
    ("w2", "stage"),
    ("cp2", "cp2/upgrade"),
    ("cp2", "cp2/verify"),
    ("w1", "w1/upgrade"),
    ("w1", "w1/verify"),
    ("w2", "addons"),
)
EXPIRED = "/etc/kubernetes/pki/front-proxy-client.crt"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: upgrade-load}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 8
      containers:
        - name: web
          image: localhost/demo-web:0.1.0
          # Who promises answers asks for processor time: without, the pod gets what everybody else leaves.
          resources: {requests: {cpu: 200m}}
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: upgrade-load}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: upgrade-load}
spec: {minAvailable: MIN, selector: {matchLabels: {app: web}}}
"""


def budget(cluster: Cluster, at_least: int) -> None:
    cluster.apply(WEB.replace("MIN", str(at_least)))


@pytest.fixture(scope="module")
def upgrading() -> Iterator[Upgrading]:
    """Five hosts of the old version with an address, a web service with a budget, and the bundle of a new version.

    KEEP_LAB=1 leaves them, REUSE_LAB=1 takes those that were left.
    """
    build_bundles()
    cluster = Cluster(INVENTORY, NAME) if os.environ.get("REUSE_LAB") else made()
    yield Upgrading(cluster)
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(cluster.inventory, ignore_errors=True)


def made() -> Cluster:
    """The cluster, its cluster file ready for the next API level."""
    inventory = INVENTORY
    run(["kdist", "lab", "down", "--name", NAME])
    shutil.rmtree(inventory, ignore_errors=True)
    size = ["--hosts", "5", "--control-planes", "3", "--subnet", SUBNET]
    hosts = ["--inventory", str(inventory / "hosts.yml")]
    run(["kdist", "lab", "up", "--name", NAME, *size, *hosts], timeout=400)
    listed = yaml.safe_load((inventory / "hosts.yml").read_text())
    listed["all"]["vars"]["kdist_api_vip"] = VIP
    (inventory / "hosts.yml").write_text(yaml.safe_dump(listed))
    cluster = Cluster(inventory, NAME)
    cluster.playbook("site.yml", timeout=900)
    set_level(inventory, NEW_LEVEL)
    cluster.kubectl("create", "namespace", "upgrade-load")
    budget(cluster, 2)
    cluster.kubectl(
        "-n", "upgrade-load", "rollout", "status", "deployment/web", "--timeout=120s", timeout=150
    )
    return cluster


def unchanged(upgrading: Upgrading) -> None:
    """Nothing of the new version anywhere, and nobody cordoned."""
    assert set(upgrading.versions().values()) == {f"v{OLD_LEVEL}.0+kdist.{OLD}"}
    assert upgrading.cordoned() == []


def test_one_flipped_byte_in_the_bundle_is_found_before_anything_changes(upgrading: Upgrading) -> None:
    victim = max((BUNDLE / "images/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    flip(victim)
    try:
        told = upgrading("apply", check=False)
    finally:
        flip(victim)
    assert f"altered: images/blobs/sha256/{victim.name} (sha256 differs)" in told
    unchanged(upgrading)


def flip(path: Any) -> None:
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.seek(stat.st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(stat.st_size // 2)
        stream.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_an_expired_certificate_is_named_with_host_and_day(upgrading: Upgrading) -> None:
    cluster = upgrading.cluster
    cluster.ssh("cp2", f"cp -p {EXPIRED} /root/kept.crt")
    cluster.ssh("cp2", f"cat > {EXPIRED} <<'E'\n{expired_certificate()}E")
    try:
        told = upgrading("apply", check=False)
    finally:
        cluster.ssh("cp2", f"cp -p /root/kept.crt {EXPIRED}")
    assert f"cp2: {EXPIRED} expired on " in told
    assert "renew it first" in told
    unchanged(upgrading)


def expired_certificate() -> str:
    """A self-signed certificate that ended yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "front-proxy-client")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=9))
    made = builder.not_valid_after(now - datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_budget_that_allows_nothing_is_explained_and_the_node_given_back(upgrading: Upgrading) -> None:
    budget(upgrading.cluster, 3)
    told = upgrading("apply", "--drain-timeout", "20", check=False, timeout=1800)
    assert "budget upgrade-load/web allows 0 disruptions: 3 of 3 pods are healthy, 3 must be" in told
    states = upgrading.states()
    assert states["cp3/return"] == "done"
    assert states["w1/drain"] == "failed"
    assert upgrading.cordoned() == []
    told = upgrading("apply", check=False)
    assert "`kdist upgrade resume` or `kdist upgrade rollback` first" in told


def test_everything_goes_back_to_the_old_version(upgrading: Upgrading) -> None:
    upgrading("rollback", timeout=1800)
    unchanged(upgrading)
    assert set(upgrading.states().values()) == {"done"}


def test_a_full_disk_stops_it_before_any_host_changes(upgrading: Upgrading) -> None:
    budget(upgrading.cluster, 2)
    upgrading.cluster.ssh("w2", "mount -t tmpfs -o size=2m none /var/lib/kdist")
    try:
        told = upgrading("apply", check=False)
    finally:
        upgrading.cluster.ssh("w2", "umount /var/lib/kdist")
    assert "stage failed" in told
    assert "No space left on device" in told
    assert "No host was changed by this step" in told
    unchanged(upgrading)
    upgrading("rollback")
    assert upgrading.journal()["state"] == "done"
    unchanged(upgrading)


def test_a_worker_lost_while_it_is_drained_is_named_and_the_upgrade_goes_on_once_it_is_back(
    upgrading: Upgrading,
) -> None:
    cluster = upgrading.cluster
    budget(cluster, 3)
    with subprocess.Popen(
        upgrading.command("apply"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        upgrading.wait_for("w1/drain", process, timeout=1800)
        cluster.lab("crash", "w1")
        told, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "w1 was lost while it was drained: Ready is Unknown since" in told
    assert upgrading.cordoned() == []
    cluster.lab("start", "w1")
    eventually(lambda: cluster.ready_nodes() == HOSTS, 120, "w1 is back")
    budget(cluster, 2)
    upgrading("resume", timeout=1800)
    assert set(upgrading.versions().values()) == {f"v{NEW_LEVEL}.0+kdist.{NEW}"}
    upgrading("rollback", timeout=1800)
    unchanged(upgrading)


def test_a_host_that_dies_in_any_phase_is_named_and_the_upgrade_goes_on_once_it_is_back(
    upgrading: Upgrading,
) -> None:
    cluster, action = upgrading.cluster, "apply"
    for host, step in DEATHS:
        with subprocess.Popen(
            upgrading.command(action, "--gate-timeout", "40", "--drain-timeout", "90"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            upgrading.wait_for(step, process, timeout=1800)
            cluster.lab("crash", host)
            told, _ = process.communicate(timeout=900)
        print(f"{host} died in {step}: {told}")
        assert process.returncode == 1, told
        assert f"{host}: " in told or f"{host} " in told
        assert "kdist upgrade resume" in told
        assert upgrading.cordoned() == []
        cluster.lab("start", host)
        eventually(lambda: cluster.ready_nodes() == HOSTS, 240, f"{host} is back")
        action = "resume"
    upgrading("resume", timeout=1800)
    assert set(upgrading.states().values()) == {"done"}
    assert set(upgrading.versions().values()) == {f"v{NEW_LEVEL}.0+kdist.{NEW}"}
    assert upgrading.cordoned() == []
    upgrading("rollback", timeout=1800)
    unchanged(upgrading)


def test_killed_at_every_step_it_still_ends_as_planned_and_loses_no_write(upgrading: Upgrading) -> None:
    seen: dict[str, Any] = {}
    urls = [f"http://10.91.0.{number}:30081/" for number in (11, 12, 13)]
    with load(upgrading.cluster, seen, *urls, rate=10):
        upgrading.kill_at("snapshot", "apply")
        began = time.monotonic()
        for number, step in enumerate(list(upgrading.states())[1:]):
            if upgrading.states()[step] == "done":
                continue  # it was over before the last kill came
            upgrading.kill_at(
                step, "resume", after=number * 1.7 % 12
            )  # somewhere in the step, elsewhere in each
            print(f"{step}: killed after {time.monotonic() - began:.0f} s")
        upgrading("resume", timeout=1800)
    assert set(upgrading.states().values()) == {"done"}
    assert set(upgrading.versions().values()) == {f"v{NEW_LEVEL}.0+kdist.{NEW}"}
    assert upgrading.cordoned() == []
    assert lost_writes(upgrading.cluster, seen) == set()
    assert seen["service"]["failures"] == []


def test_two_operators_at_once_are_one_too_many(upgrading: Upgrading) -> None:
    with subprocess.Popen(
        upgrading.command("rollback"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as first:
        eventually(lambda: upgrading.journal()["about"]["direction"] == "rollback", 60, "it has begun")
        # While add-ons go back every host has the new version still: site.yml of that bundle has no other objection.
        told = upgrading.cluster.playbook("site.yml", "-e", f"kdist_bundle={BUNDLE}", check=False)
        assert "another operator works on this cluster" in told
        assert "runs `kdist upgrade rollback` since" in told
        assert "another operator works on this cluster" in upgrading("resume", check=False)
        upgrading("pause")
        out, _ = first.communicate(timeout=1800)
    assert first.returncode == 0, out
    assert "paused; go on with: kdist upgrade resume" in out
    assert upgrading.journal()["state"] == "paused"
    assert upgrading.cordoned() == []
    upgrading("resume", timeout=1800)
    unchanged(upgrading)
