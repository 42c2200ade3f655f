"""Three control planes: authorities, keys, ended certificates, under a client that notices every failed request."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, eventually, run
from tests.e2e.test_identity import report, steady_client

NAME, SUBNET, VIP = "identity-ha", "10.94.0.0/24", "10.94.0.100"
CONTROL_PLANES = ("cp1", "cp2", "cp3")
HOSTS = {*CONTROL_PLANES, "w1"}
# The first phase of an exchange on the host that keeps the authorities, and nowhere else: its operator has gone.
TRUST = """
import sys
sys.path.insert(0, "/opt/kdist/current/lib")
from kdist.pki.files import HostFiles
from kdist.pki.rotation import Exchange, Phase
Exchange(HostFiles(), "etcd-ca").advance(Phase.TRUST)
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Cluster]:
    """Three control planes, one worker."""
    inventory = ROOT / "inventory" / "lab-identity-ha"
    cluster = Cluster(inventory, NAME)
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    shutil.rmtree(inventory, ignore_errors=True)
    size = ["--hosts", "4", "--control-planes", "3", "--subnet", SUBNET]
    run(
        ["kdist", "lab", "up", "--name", NAME, *size, "--inventory", str(inventory / "hosts.yml")],
        timeout=400,
    )
    cluster.playbook("site.yml", timeout=900)
    yield cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def change(site: Cluster, **settings: object) -> None:
    """Change the cluster file."""
    hosts = site.inventory / "hosts.yml"
    inventory = yaml.safe_load(hosts.read_text())
    inventory["all"]["vars"] |= settings
    hosts.write_text(yaml.safe_dump(inventory))


def kdist(site: Cluster, *arguments: str, timeout: float = 1200) -> str:
    told = run(["kdist", *arguments, "-i", str(site.inventory)], timeout=timeout)
    print(told)
    return told


def killed(site: Cluster, *arguments: str, when: str) -> None:
    """Start a command and end it by kill -9 once its journal says that a step is under way."""
    name = {"rotate": "rotate.json"}[arguments[-1]] if arguments[0] == "pki" else "encryption-rotate.json"
    journal = site.inventory / ".kdist" / name
    process = subprocess.Popen(["kdist", *arguments, "-i", str(site.inventory)], cwd=ROOT)

    def under_way() -> bool:
        if not journal.exists():
            return False
        entries = json.loads(journal.read_text())["entries"]
        return any(entry["name"] == when and entry["state"] == "running" for entry in entries)

    eventually(under_way, 600, f"{when} is under way")
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def test_an_address_is_added_later_without_a_failed_request(site: Cluster) -> None:
    with steady_client(site, "address") as seen:
        change(site, kdist_api_vip=VIP)
        site.playbook("site.yml", timeout=900)
    assert seen["errors"] == []
    admin = yaml.safe_load((site.inventory / "admin.conf").read_text())
    assert admin["clusters"][0]["cluster"]["server"] == f"https://{VIP}:6443"
    eventually(lambda: site.ready_nodes() == HOSTS, 60, "the address leads to the cluster")


def containers(site: Cluster, part: str) -> dict[str, str]:
    """The container of a static pod on each control plane."""
    pods = {host: site.get("pod", "-n", "kube-system", f"{part}-{host}") for host in CONTROL_PLANES}
    return {host: pod["status"]["containerStatuses"][0]["containerID"] for host, pod in pods.items()}


def test_a_run_in_the_middle_of_an_exchange_restarts_one_etcd_after_the_other(site: Cluster) -> None:
    before = containers(site, "etcd")
    site.ssh("cp1", f"python3 -c '{TRUST}'")
    change(site, kdist_etcd_quota_mib=3072)
    with steady_client(site, "middle") as seen:
        site.playbook("site.yml", timeout=900)
    assert seen["errors"] == []
    eventually(
        lambda: all(now != before[host] for host, now in containers(site, "etcd").items()), 60, "new etcds"
    )
    kdist(site, "pki", "rotate", "--authority", "etcd-ca")


def test_flags_change_on_one_api_server_after_the_other(site: Cluster) -> None:
    change(site, kdist_log_level="warning")
    with steady_client(site, "flags") as seen:
        site.playbook("site.yml", timeout=900)
    # A server that leaves may cost its clients what they had asked it, and the way to the next one.
    assert longest_outage(seen["errors"]) <= 5, seen["errors"]
    for host in CONTROL_PLANES:
        pod = site.get("pod", "-n", "kube-system", f"kube-apiserver-{host}")
        assert "--log-level=warning" in pod["spec"]["containers"][0]["command"]


def longest_outage(errors: list[str]) -> float:
    """The longest run of errors less than two seconds apart, in seconds."""
    moments = [float(error.split()[0]) for error in errors]
    longest = began = last = 0.0
    for moment in moments:
        began = moment if moment - last > 2 else began
        longest, last = max(longest, moment - began), moment
    return longest


def test_everything_is_renewed_without_a_failed_request(site: Cluster) -> None:
    before = report(site)
    with steady_client(site, "renewal") as seen:
        kdist(site, "pki", "renew")
    assert seen["errors"] == []
    after = report(site)
    leaves = [at for at, one in before.items() if not one["authority"]]
    assert [at for at in leaves if after[at]["not_before"] <= before[at]["not_before"]] == []


def test_an_exchange_that_was_killed_goes_on_and_fails_no_request(site: Cluster) -> None:
    before = report(site)
    with steady_client(site, "exchange") as seen:
        killed(site, "pki", "rotate", when="issue")
        kdist(site, "pki", "rotate")
    assert seen["errors"] == []
    after = report(site)
    assert [at for at in before if after[at]["not_before"] <= before[at]["not_before"]] == []
    assert not any(one["previous"] for one in after.values())
    assert site.ready_nodes() == HOSTS


def test_the_key_of_tokens_is_exchanged_and_not_dropped_too_early(site: Cluster) -> None:
    with steady_client(site, "tokens") as seen:
        kdist(site, "pki", "rotate", "--authority", "service-account")
    assert seen["errors"] == []
    assert len(json.loads(site.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]) == 2
    command = ["kdist", "pki", "rotate", "--authority", "service-account", "-i", str(site.inventory)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode
    assert "tokens signed by the old key may be in use for another" in told.stderr + told.stdout
    kdist(site, "pki", "rotate", "--authority", "service-account", "--token-wait", "0")
    eventually(
        lambda: len(json.loads(site.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]) == 1,
        60,
        "one key is left",
    )


def test_the_encryption_key_is_exchanged_though_the_operator_was_killed(site: Cluster) -> None:
    site.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    old = site.ssh("cp1", "grep -A1 'name: key' /etc/kubernetes/pki/encryption.yaml")
    with steady_client(site, "encryption") as seen:
        killed(site, "encryption", "rotate", when="promote")
        kdist(site, "encryption", "rotate")
    assert seen["errors"] == []
    files = {site.ssh(host, "cat /etc/kubernetes/pki/encryption.yaml") for host in CONTROL_PLANES}
    assert len(files) == 1
    assert "name: key2" in files.pop()
    assert "name: key1" in old
    stored = site.ssh(
        "cp1",
        "cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl --cacert=ca.crt --cert=healthcheck-client.crt "
        "--key=healthcheck-client.key get /registry/secrets/default/kept --print-value-only | head -c 26",
    )
    assert stored == "k8s:enc:secretbox:v1:key2:"
    assert site.get("secret", "kept")["data"] == {"a": "Yg=="}


def test_a_cluster_whose_certificates_have_ended_comes_back_by_one_run(site: Cluster) -> None:
    site.kubectl("create", "configmap", "before-the-end")
    change(site, kdist_certificate_lifetime="3m")
    site.playbook("site.yml", timeout=900)  # controller managers sign for agents by a flag of theirs
    kdist(site, "pki", "renew")
    ends = max(one["not_after"] for one in report(site).values() if not one["authority"])
    eventually(lambda: time.time() > ends + 5, 300, "every certificate has ended")
    with pytest.raises(AssertionError):
        site.kubectl("get", "nodes")
    change(site, kdist_certificate_lifetime="365d")
    site.playbook("site.yml", timeout=900)
    eventually(lambda: site.ready_nodes() == HOSTS, 120, "every node is back")
    assert site.get("configmap", "before-the-end")
    told = report(site)
    assert not any(one["near"] for one in told.values())
