"""Certificates, names and authorities are exchanged under a client that notices every failed request."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run

NAME, SUBNET = "identity", "10.84.0.0/24"


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of all tests; with OWN_LAB=1 one of this module's own, a control plane and a worker."""
    if not os.environ.get("OWN_LAB"):
        yield request.getfixturevalue("cluster")
        return
    inventory = ROOT / "inventory" / "lab-identity"
    cluster = Cluster(inventory, NAME)
    if not os.environ.get("REUSE_LAB"):
        run(["kdist", "bundle", "build"], timeout=900)
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)
        size = ["--hosts", "2", "--control-planes", "1", "--subnet", SUBNET]
        place = ["--inventory", str(inventory / "hosts.yml")]
        run(["kdist", "lab", "up", "--name", NAME, *size, *place], timeout=400)
        cluster.playbook("site.yml", timeout=900)
    yield cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def hosts(site: Cluster) -> set[str]:
    """Every host of the inventory."""
    inventory = yaml.safe_load((site.inventory / "hosts.yml").read_text())
    return set(inventory["all"]["hosts"])


@contextlib.contextmanager
def steady_client(site: Cluster, name: str) -> Iterator[dict[str, Any]]:
    """A client that reads and writes while the block runs; what it saw is in the dict afterwards."""
    seen: dict[str, Any] = {}
    command = [*site.inside("nsenter"), sys.executable, str(ROOT / "tests/e2e/steady.py")]
    process = subprocess.Popen(
        [*command, str(site.inventory / "admin.conf"), name], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield seen
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    seen |= json.loads(out)


def report(site: Cluster) -> dict[tuple[str, str], dict[str, Any]]:
    """Every certificate by host and path; of bundles the one that signs."""
    command = ["kdist", "pki", "report", "-i", str(site.inventory), "--output", "json"]
    told = json.loads(run(command, check=False))
    assert told["problems"] == []
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in told["certificates"]:
        found.setdefault((one["host"], one["path"]), one)
    return found


def processes(site: Cluster) -> dict[str, Any]:
    """What must go on while certificates change: agents by their process, containers by their restarts."""
    agents = {h: site.ssh(h, "systemctl show -p MainPID --value kdist-agent").strip() for h in hosts(site)}
    pods = site.get("pods", "-n", "kube-system")["items"]
    containers = {
        f"{p['metadata']['name']}/{c['name']}": c["containerID"]
        for p in pods
        for c in p["status"]["containerStatuses"]
        if not p["metadata"]["name"].startswith("etcd")
    }
    return {"agents": agents, "containers": containers}


def served_names(site: Cluster) -> str:
    line = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    return site.ssh("cp1", line)


def test_every_certificate_is_renewed_without_a_failed_request(site: Cluster) -> None:
    before, running = report(site), processes(site)
    leaves = {at for at, one in before.items() if not one["authority"]}
    assert {
        ("cp1", "etc/kubernetes/admin.conf"),
        ("w1", "var/lib/kubelet/pki/kubelet-client-current.pem"),
    } <= leaves
    with steady_client(site, "renewal") as seen:
        print(run(["kdist", "pki", "renew", "-i", str(site.inventory)], timeout=400))
    print(f"renewal: {seen}")
    assert seen["errors"] == []
    after = report(site)
    old = [at for at in leaves if after[at]["not_before"] <= before[at]["not_before"]]
    assert old == []
    assert all(after[at] == one for at, one in before.items() if one["authority"])
    assert processes(site) == running
    metrics = site.kubectl("get", "--raw", "/api/v1/nodes/w1/proxy/metrics")
    assert (
        'kdist_certificate_expiration_timestamp_seconds{issuer="ca",path="/var/lib/kubelet/pki/kubelet'
        in metrics
    )


def test_a_name_is_added_without_a_failed_request(site: Cluster) -> None:
    file = site.inventory / "hosts.yml"
    inventory = yaml.safe_load(file.read_text())
    inventory["all"]["vars"]["kdist_extra_sans"] = ["k8s.example.org", "192.0.2.9"]
    file.write_text(yaml.safe_dump(inventory))
    before, running = report(site), processes(site)
    with steady_client(site, "names") as seen:
        site.playbook("site.yml", timeout=600)
    print(f"names: {seen}")
    assert seen["errors"] == []
    names = served_names(site)
    assert "k8s.example.org" in names
    assert "192.0.2.9" in names
    changed = {at for at, one in report(site).items() if one != before[at]}
    assert changed == {("cp1", "etc/kubernetes/pki/apiserver.crt")}
    assert processes(site) == running


def test_authorities_are_exchanged_without_a_failed_request(site: Cluster) -> None:
    before, running = report(site), processes(site)
    authorities = {at for at, one in before.items() if one["authority"]}
    with steady_client(site, "exchange") as seen:
        began = time.monotonic()
        print(run(["kdist", "pki", "rotate", "-i", str(site.inventory)], timeout=900))
        print(f"exchange: {time.monotonic() - began:.0f} s")
    print(f"exchange: {seen}")
    assert seen["errors"] == []
    after = report(site)
    assert [at for at in before if after[at]["not_before"] <= before[at]["not_before"]] == []
    assert [at for at, one in after.items() if one["previous"]] == []
    assert processes(site) == running
    ca = site.ssh("cp1", "cat /etc/kubernetes/pki/ca.crt")
    assert ca.count("BEGIN CERTIFICATE") == 1
    assert authorities == {at for at, one in after.items() if one["authority"]}
    shown = site.get("configmap", "-n", "default", "kube-root-ca.crt")["data"]["ca.crt"]
    assert shown.strip() == ca.strip()
    trust = site.get("configmap", "-n", "kube-system", "extension-apiserver-authentication")["data"]
    assert trust["client-ca-file"].strip() == ca.strip()
    proxy = site.ssh("cp1", "cat /etc/kubernetes/pki/front-proxy-ca.crt")
    eventually(lambda: _proxy_ca(site) == proxy.strip(), 20, "the front proxy's authority is published")
    info = yaml.safe_load(site.get("configmap", "-n", "kube-public", "cluster-info")["data"]["kubeconfig"])
    assert info["clusters"][0]["cluster"]["certificate-authority-data"]
    assert site.ready_nodes() == hosts(site)


def _proxy_ca(site: Cluster) -> str:
    found = site.get("configmap", "-n", "kube-system", "extension-apiserver-authentication")
    return str(found["data"]["requestheader-client-ca-file"]).strip()


def test_the_key_of_encryption_is_exchanged_without_a_failed_request(site: Cluster) -> None:
    site.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    with steady_client(site, "encryption") as seen:
        print(run(["kdist", "encryption", "rotate", "-i", str(site.inventory)], timeout=600))
    print(f"encryption: {seen}")
    assert seen["errors"] == []
    keys = re.findall("name: (key[0-9]+)", site.ssh("cp1", "cat /etc/kubernetes/pki/encryption.yaml"))
    assert len(keys) == 1
    stored = site.ssh(
        "cp1",
        "cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl --cacert=ca.crt --cert=healthcheck-client.crt "
        "--key=healthcheck-client.key get /registry/secrets/default/kept --print-value-only | "
        "grep -a -o '^k8s:enc:[^:]*:v1:[^:]*:'",
    )
    assert stored.strip() == f"k8s:enc:secretbox:v1:{keys[0]}:"
    assert site.get("secret", "kept")["data"] == {"a": "Yg=="}
    site.kubectl("delete", "secret", "kept")


def test_everything_works_afterwards_and_a_second_run_changes_nothing(site: Cluster) -> None:
    site.kubectl("run", "after", "--image=localhost/demo-web:0.1.0")
    site.kubectl("wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
    eventually(lambda: site.kubectl("exec", "after", "--", "true") == "", 20, "exec in a new pod")
    site.kubectl("delete", "pod", "after", "--wait=false")
    told = site.playbook("site.yml")
    recap = changes(told)
    print(
        *re.findall(r"^TASK \[.*?(?=^TASK|^PLAY)", told, re.M | re.S) if "changed: [" in told else (), sep=""
    )
    assert {host: row["changed"] for host, row in recap.items()} == dict.fromkeys(hosts(site), 0)


def test_hosts_keep_what_is_secret_to_themselves(site: Cluster) -> None:
    """The checks of kube-bench's kind that concern files and flags of ours."""
    loose = site.ssh(
        "cp1",
        "find /etc/kubernetes /var/lib/kubelet/pki \\( -name '*.key' -o -name '*.conf' -o -name '*.pem' -o -name "
        "encryption.yaml -o -path '*/manifests/*.yaml' \\) \\( -perm /077 -o ! -user root \\)",
    )
    assert loose == ""
    assert site.ssh("cp1", "find /etc/kubernetes /var/lib/etcd -perm /022 ! -type l") == ""
    assert site.ssh("cp1", "stat -c '%a %U' /var/lib/etcd").strip() == "700 root"
    flags = {
        part: site.get("pod", "-n", "kube-system", f"{part}-cp1")["spec"]["containers"][0]["command"]
        for part in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    for wanted in ("--client-cert-auth=true", "--peer-client-cert-auth=true"):
        assert wanted in flags["etcd"]
    server = " ".join(flags["kube-apiserver"])
    for wanted in (
        "--authorization-mode=Node,RBAC",
        "--encryption-provider-config=",
        "--kubelet-certificate-authority=",
        "--etcd-cafile=",
        "--client-ca-file=",
        "--service-account-key-file=",
    ):
        assert wanted in server
    for part in ("kube-controller-manager", "kube-scheduler"):
        assert any(flag.startswith("--healthz-bind-address=127.0.0.1:") for flag in flags[part])
    for host in hosts(site):
        told = _status(site, host, "https://127.0.0.1:10250/pods")
        assert told == "401", f"{host}: the agent answers strangers"
    assert _status(site, "cp1", "https://127.0.0.1:6443/api/v1/secrets") == "403"
    assert _status(site, "cp1", "https://127.0.0.1:2379/version") == "000", "etcd talks to strangers"


def _status(site: Cluster, host: str, url: str) -> str:
    code = (
        "import ssl,sys,urllib.request as u,urllib.error as e\n"
        "c=ssl._create_unverified_context()\n"
        "try: print(u.urlopen(sys.argv[1],context=c,timeout=5).status)\n"
        "except e.HTTPError as x: print(x.code)\n"
        "except OSError: print('000')\n"
    )
    return site.ssh(host, f'python3 -c "{code}" {url}').strip()


def test_a_wrong_authority_is_refused_before_anything_is_changed(site: Cluster, tmp_path: Path) -> None:
    wrong = tmp_path / "ca"
    site_pki = site.ssh("cp1", "cat /etc/kubernetes/pki/apiserver.crt")
    (wrong.with_suffix(".crt")).write_text(site_pki)
    (wrong.with_suffix(".key")).write_text("no key")
    brought = {"kdist_authorities": {"ca": {"certificate": f"{wrong}.crt", "key": f"{wrong}.key"}}}
    told = run(
        ["ansible-playbook", "-i", str(site.inventory), "site.yml", "-e", json.dumps(brought)],
        check=False,
        timeout=300,
    )
    assert "all: kdist_authorities: ca: basicConstraints do not say CA:TRUE" in told
    assert "ca: the key cannot be read as a PEM private key" in told
