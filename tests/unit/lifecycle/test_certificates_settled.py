"""The gate between phases: what on a host does not use yet what lies on it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kdist.lifecycle.certificates.settled import Eyes, unsettled
from kdist.pki import files, plan
from kdist.pki.rotation import Exchange, Phase

CLUSTER = plan.Cluster("test", "10.96.0.0/16", "cluster.local", ("10.0.0.1",))
HOST = plan.Host("cp1", "10.0.0.1", control_plane=True)
PKI = "etc/kubernetes/pki"
# The agent's port shows what the agent was issued; here its other certificate, which is where provision puts it.
AGENT = "../../../var/lib/kubelet/pki/kubelet-client-current.pem"
SERVED = {6443: "apiserver.crt", 2379: "etcd/server.crt", 2380: "etcd/peer.crt", 10250: AGENT}


class Machine:
    """A host whose servers show what their files held when they were looked at last."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ill: dict[str, str] = {}
        files.provision(root, CLUSTER, HOST)
        self.start_etcd()
        self.take_up()

    def start_etcd(self) -> None:
        process = self.root / "proc/77"
        process.mkdir(parents=True, exist_ok=True)
        (process / "comm").write_text("etcd\n")
        (process / "stat").write_text(f"77 (etcd) S {' '.join(['0'] * 18)} {5 * os.sysconf('SC_CLK_TCK')}")
        (self.root / "proc/stat").write_text(f"cpu 0\nbtime {int(time.time())}\n")

    def take_up(self) -> None:
        self.shown = {port: (self.root / PKI / name).read_bytes() for port, name in SERVED.items()}

    def show(self, _: str, port: int, __: object) -> bytes:
        return x509.load_pem_x509_certificate(self.shown[port]).public_bytes(Encoding.DER)

    def told(self, issued_before: float = 0) -> str:
        eyes = Eyes(self.show, lambda url: self.ill.get(url))
        return "; ".join(unsettled(HOST, 6443, root=self.root, eyes=eyes, issued_before=issued_before))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_host_that_uses_what_it_has_is_settled(machine: Machine) -> None:
    assert machine.told() == ""


def test_servers_must_be_healthy(machine: Machine) -> None:
    machine.ill["https://10.0.0.1:6443/readyz"] = "etcd failed"
    assert machine.told() == "etcd failed"


def test_servers_must_show_what_was_issued(machine: Machine) -> None:
    for name in SERVED.values():
        (machine.root / PKI / name).unlink()
    files.provision(machine.root, CLUSTER, HOST)
    told = machine.told()
    assert "API server (port 6443): does not show" in told
    assert "etcd peers (port 2380): does not show" in told
    machine.take_up()
    assert machine.told() == ""


def test_etcd_must_have_been_started_after_its_authorities_changed(machine: Machine) -> None:
    Exchange(files.HostFiles(machine.root), "etcd-ca").advance(Phase.TRUST)
    later = time.time() + 60
    os.utime(machine.root / PKI / "etcd/ca.crt", (later, later))
    assert machine.told() == "etcd was started before its authorities changed"


def test_leaves_of_the_previous_authority_and_pods_that_do_not_see_the_new_one_are_told(
    machine: Machine,
) -> None:
    pod: Callable[[], bytes] = (machine.root / PKI / "ca.crt").read_bytes
    seen = machine.root / "var/lib/kubelet/pods/u1/volumes/kubernetes.io~projected/api/ca.crt"
    seen.parent.mkdir(parents=True)
    seen.write_bytes(pod())
    exchange = Exchange(files.HostFiles(machine.root), "ca")
    exchange.advance(Phase.TRUST)
    assert machine.told() == "1 pods do not see the present authorities yet, such as u1"
    seen.write_bytes(pod())
    assert machine.told() == ""
    exchange.advance(Phase.ISSUE)
    assert "apiserver.crt was issued by the previous authority ca" in machine.told()
    assert "agent (port 10250): shows a certificate that the first authority" in machine.told()
    files.provision(machine.root, CLUSTER, HOST)
    machine.take_up()
    seen.write_bytes(pod())
    assert machine.told() == ""


def test_a_renewal_is_done_when_nothing_older_is_left(machine: Machine) -> None:
    assert machine.told(issued_before=time.time() - 60) == ""
    assert "admin.conf is not renewed yet" in machine.told(issued_before=time.time() + 60)
