"""The report: what is known is told, what is not known is said to be unknown, never guessed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.console import Console

from kdist.cli.status import show
from kdist.lifecycle.care.doctor import examine
from kdist.lifecycle.care.picture import Host, Picture
from kdist.lifecycle.care.status import report

NOW = 1_800_000_000.0
STATUS = {
    "header": {"member_id": 10, "revision": 77},
    "version": "3.4.23",
    "leader": 10,
    "raftTerm": 2,
    "dbSize": 3 << 20,
}
CERTIFICATES = [
    {"name": "pki/apiserver.crt", "subject": "CN=a", "ends": NOW + 86400 * 40.5},
    {"name": "admin.conf", "subject": "CN=b", "ends": NOW + 86400 * 20.5},
    {"name": "pki/ca.crt", "subject": "CN=ca", "ends": NOW + 86400 * 900},
    {"name": "pki/front-proxy-ca.crt", "subject": "CN=ca", "ends": NOW + 86400 * 800.5},
    {"name": "pki/broken.crt", "error": "no PEM"},
]
FACTS: dict[str, Any] = {
    "system": {"os": "Debian GNU/Linux 12 (bookworm)", "memory_available": 1 << 30, "memory_total": 4 << 30},
    "version": {"current": "0.1.0"},
    "units": {},
    "disks": {"/": {"free": 1 << 30, "size": 9 << 30, "device": 1, "inodes": 0, "inodes_free": 0}},
    "manifests": [],
    "leftovers": {},
    "certificates": CERTIFICATES,
    "containers": [{"name": "kube-apiserver", "attempt": 2, "running": True, "pod": "p"}],
    "etcd": {"data": True, "status": [{"Status": STATUS}], "fsync_p99": 0.004},
    "snapshots": {"count": 3, "newest": "20270115T000000Z-r70"},
    "api": {"readyz": "ok"},
}
NODE = {
    "name": "cp1", "ready": True, "reason": "", "message": "", "unschedulable": True, "runtime": "containerd://1.6",
    "pressure": [], "annotations": {},
}  # fmt: skip
CLUSTER: dict[str, Any] = {
    "nodes": [NODE],
    "pods": {"counts": {"Running": 4}, "unwell": []},
    "workloads": [{"kind": "Deployment", "name": "dns", "wanted": 1, "available": 0, "version": "0.1.0"}],
    "leases": {"kube-scheduler": {"holderIdentity": "cp1_77"}},
    "terminating": [],
    "operations": {},
    "servers": {"cp1": {"version": "v1.32.0"}},
}
PICTURE = Picture(
    NOW,
    (Host("cp1", "10.0.0.1", True, FACTS, clock=(0, 0)), Host("w1", "10.0.0.2", False, reason="no answer")),
    CLUSTER,
)


def test_the_report_brings_hosts_and_api_together() -> None:
    told = report(PICTURE, examine(PICTURE))
    cp1, w1 = told["hosts"]
    assert (cp1["node"], cp1["release"], cp1["reachable"]) == ("Ready, cordoned", "0.1.0", True)
    assert (w1["reachable"], w1["node"]) == (False, "unknown")
    plane = told["control_plane"][0]
    assert plane["kube-apiserver"] == {"state": "ready", "restarts": 2, "leads": False}
    assert plane["kube-scheduler"] == {"state": "missing", "restarts": None, "leads": True}
    etcd = told["etcd"][0]
    assert (etcd["state"], etcd["revision"], etcd["size"], etcd["snapshots"]) == ("leader", 77, 3 << 20, 3)
    assert not told["healthy"]


def test_certificates_are_told_by_the_first_to_end_authorities_apart() -> None:
    (told,) = report(PICTURE, [])["certificates"]
    assert told["first"] == {"name": "admin.conf", "days": 20}
    assert told["first_authority"] == {"name": "pki/front-proxy-ca.crt", "days": 800}


def test_without_api_the_rest_is_told() -> None:
    told = report(dataclasses.replace(PICTURE, cluster=None, cluster_reason="refused"), [])
    assert (told["api"], told["api_reason"], told["pods"]) == (False, "refused", {})
    assert told["hosts"][0]["node"] == "not registered"
    assert told["etcd"][0]["state"] == "leader"


def test_a_host_that_can_tell_nothing_breaks_no_report() -> None:
    broken = {part: {"error": "OSError: Input/output error"} for part in FACTS}
    host = dataclasses.replace(PICTURE.hosts[0], facts=broken)
    told = report(dataclasses.replace(PICTURE, hosts=(host,)), [])
    assert told["control_plane"][0]["kube-apiserver"]["state"] == "missing"


def test_the_screen_shows_all_of_it_and_json_can_be_written() -> None:
    told = report(PICTURE, examine(PICTURE))
    json.dumps(told)
    console = Console(width=160, record=True, quiet=False, file=None, color_system=None)
    with console.capture() as captured:
        show(told, console)
    screen = captured.get()
    for text in (
        "10.0.0.1",
        "no answer",
        "v1.32.0",
        "leader",
        "3.0 MiB",
        "20 days admin.conf",
        "0 of 1",
        "4 Running",
    ):
        assert text in screen


def test_a_removed_host_is_shown_as_removed() -> None:
    cluster = {**CLUSTER, "removed": [{"node": "w1", "moment": "2026-11-20T10:00:00Z", "asked": ""}]}
    rows = report(dataclasses.replace(PICTURE, cluster=cluster), [])["hosts"]
    assert [(row["name"], row["node"]) for row in rows] == [("cp1", "Ready, cordoned"), ("w1", "removed")]
