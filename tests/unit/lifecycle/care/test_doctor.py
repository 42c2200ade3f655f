"""The doctor: nothing to tell of a healthy cluster, and for each fault one finding that says why and what mends it."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdist.api import meta
from kdist.cli.main import COMMANDS
from kdist.lifecycle.care import doctor, hostfacts
from kdist.lifecycle.care.cluster import unwell_pod
from kdist.lifecycle.care.doctor import Finding, Severity
from kdist.lifecycle.care.picture import Host, Picture, journals
from kdist.lifecycle.operation.journal import Entry, Journal, JournalFile, State
from kdist.lifecycle.operation.lock import Holder

NOW = meta.parse_time("2026-11-21T12:00:00Z").timestamp()
GIB = 1 << 30


def facts(name: str = "cp1", **more: Any) -> dict[str, Any]:
    """What a healthy control plane tells."""
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    healthy = {
        "version": {"current": "0.1.0", "releases": ["0.1.0"]},
        "units": {u: {"ActiveState": "active", "LoadState": "loaded"} for u in hostfacts.UNITS},
        "disks": {"/": {"size": 100 * GIB, "free": 50 * GIB, "inodes": 100, "inodes_free": 50, "device": 1}},
        "manifests": [
            {
                "path": f"/etc/kubernetes/manifests/{part}.yaml",
                "name": part,
                "images": ["localhost/kdist:0.1.0"],
            }
            for part in parts
        ],
        "images": ["localhost/kdist:0.1.0"],
        "containers": [{"pod": f"{p}-{name}", "name": p, "attempt": 0, "running": True} for p in parts],
        "certificates": [
            {"name": "pki/apiserver.crt", "subject": "CN=kube-apiserver", "ends": NOW + 300 * 86400}
        ],
        "leftovers": {"partial": [], "packages": ""},
        "dns": {"seconds": 0.001},
        "etcd": {
            "data": True,
            "status": [{"Status": {"dbSize": 1 << 20, "leader": 1}}],
            "members": {"members": [{"ID": 1, "name": "cp1", "peerURLs": ["https://10.0.0.1:2380"]}]},
            "alarms": None,
            "fsync_p99": 0.004,
        },
        "snapshots": {"scheduled": True, "newest": "20261121T110000Z-r7", "last": {"succeeded": True}},
        "api": {"livez": "ok", "readyz": "ok"},
    }
    return healthy | more


def node(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "ready": True, "reason": "KubeletReady", "message": "", "pressure": [], "unschedulable": False,
        "annotations": {}, "roles": [], "version": "v1.32.0", "runtime": "containerd://1.6",
    } | more  # fmt: skip


def cluster(**more: Any) -> dict[str, Any]:
    lease = {
        "holderIdentity": "cp1_x",
        "renewTime": "2026-11-21T11:59:58.000000Z",
        "leaseDurationSeconds": 15,
    }
    return {
        "nodes": [node("cp1"), node("w1")],
        "pods": {"counts": {"Running": 9}, "unwell": []},
        "workloads": [
            {"kind": "Deployment", "name": "kube-dns", "wanted": 2, "available": 2, "version": "0.1.0"}
        ],
        "leases": {"kube-controller-manager": lease, "kube-scheduler": lease},
        "terminating": [],
        "operations": {},
        "servers": {"cp1": {"version": "v1.32.0"}},
    } | more


def worker(**more: Any) -> dict[str, Any]:
    whole = facts("w1", manifests=[], containers=[], **more)
    return {key: value for key, value in whole.items() if key not in ("etcd", "api", "snapshots")}


def picture(
    cp1: Mapping[str, Any] | None = None, w1: Mapping[str, Any] | None = None, **more: Any
) -> Picture:
    hosts = (
        Host("cp1", "10.0.0.1", True, cp1 or facts(), clock=(-0.3, 0.1)),
        Host("w1", "10.0.0.2", False, w1 or worker(), clock=(-0.2, 0.2)),
    )
    return dataclasses.replace(Picture(NOW, hosts, cluster()), **more)


def findings(seen: Picture) -> dict[str, Finding]:
    """By check; each must be told well."""
    found = doctor.examine(seen)
    for finding in found:
        assert finding.subject and finding.finding and finding.cause and finding.mend, finding
    return {finding.check: finding for finding in found}


def test_a_healthy_cluster_gives_no_finding() -> None:
    assert findings(picture()) == {}


def test_a_host_that_does_not_answer_is_one_finding_and_not_its_node_besides() -> None:
    hosts = (picture().hosts[0], Host("w1", "10.0.0.2", False, reason="cannot be reached: timed out"))
    nodes = [node("cp1"), node("w1", ready=False, reason="NodeStatusUnknown")]
    found = findings(picture(hosts=hosts, cluster=cluster(nodes=nodes)))
    assert list(found) == ["host-unreachable"]
    assert found["host-unreachable"].cause == "cannot be reached: timed out"


def test_no_api_is_told_beside_what_hosts_tell() -> None:
    api = {"error": "[Errno 111] Connection refused"}
    ended = [
        {"pod": "kube-apiserver-cp1", "name": "kube-apiserver", "attempt": 3, "running": False, "log": "boom"}
    ]
    found = findings(picture(facts(api=api, containers=ended), cluster=None, cluster_reason="refused"))
    assert set(found) == {"api-down", "api-not-ready", "static-pod-down"}
    assert found["static-pod-down"].cause == "attempt 3 ended; it said: boom"


UNIT = {"ActiveState": "failed", "SubState": "failed", "LoadState": "loaded", "log": "line\nno such file"}
SLOW = facts()["etcd"] | {"fsync_p99": 0.064}
LARGE = facts()["etcd"] | {"status": [{"Status": {"dbSize": 1900 << 20, "leader": 1}}]}
ALONE = facts()["etcd"] | {"status": [{"Status": {"dbSize": 1 << 20, "errors": ["etcdserver: no leader"]}}]}
ALARM = facts()["etcd"] | {"alarms": {"alarms": [{"memberID": 10, "alarm": 1}]}}
STRANGER = facts()["etcd"] | {
    "members": {"members": [{"ID": 255, "name": "old", "peerURLs": ["https://x:2380"]}]}
}
BROKEN = [*facts()["manifests"], {"path": "/etc/kubernetes/manifests/x.yaml", "error": "line 3: found a tab"}]


@pytest.mark.parametrize(
    ("check", "told", "more"),
    [
        ("agent-down", "no such file", {"units": {**facts()["units"], "kdist-agent.service": UNIT}}),
        ("not-installed", "never installed", {"version": {"current": "", "releases": []}}),
        ("disk-full", "1.0 of 100.0 GiB free", {"disks": {"/": facts()["disks"]["/"] | {"free": GIB}}}),
        ("disk-full", "2% are free", {"disks": {"/": facts()["disks"]["/"] | {"inodes_free": 2}}}),
        ("manifest-broken", "line 3: found a tab", {"manifests": BROKEN}),
        ("manifest-missing", "etcd does not run there", {"manifests": facts()["manifests"][1:]}),
        ("missing-image", "does not have it", {"images": []}),
        ("half-installed", "in a mess", {"leftovers": {"partial": [], "packages": "in a mess"}}),
        ("half-installed", "/opt/kdist/.0.2.partial", {"leftovers": {"partial": ["/opt/kdist/.0.2.partial"]}}),
        ("certificate-expired", "CN=a", {"certificates": [{"name": "a", "subject": "CN=a", "ends": NOW - 5}]}),
        ("certificate-expired", "CN=a", {"certificates": [{"name": "a", "subject": "CN=a", "ends": NOW + 864000}]}),
        ("certificate-expired", "not PEM", {"certificates": [{"name": "a", "error": "not PEM"}]}),
        ("etcd-slow-disk", "up to 64 ms", {"etcd": SLOW}),
        ("etcd-quorum", "1 of 1 members answer (cp1)", {"etcd": ALONE}),
        ("etcd-alarm", "quota", {"etcd": ALARM}),
        ("etcd-down", "refused", {"etcd": facts()["etcd"] | {"status": {"error": "refused"}}}),
        ("etcd-size", "1900 of 2048 MiB", {"etcd": LARGE}),
        ("etcd-size", "1900 of 2000 MiB", {"etcd": {**LARGE, "quota": 2000 << 20}}),
        ("etcd-member", "", {"etcd": STRANGER}),
        ("etcd-snapshot", "25 hours old", {"snapshots": {"scheduled": True, "newest": "20261120T110000Z-r7"}}),
        ("etcd-snapshot", "there is none", {"snapshots": {"scheduled": True, "newest": None, "since": NOW - 90000}}),
        ("etcd-snapshot", "no room", {"snapshots": {"scheduled": True, "newest": "20261121T110000Z-r7",
                                                  "last": {"succeeded": False, "error": "no room"}}}),
        ("api-not-ready", "[-]etcd failed", {"api": {"readyz": "[+]ping ok\n[-]etcd failed: reason withheld"}}),
        ("dns-silent", "timed out", {"dns": {"error": "timed out"}}),
    ],
)  # fmt: skip
def test_what_a_host_tells_becomes_a_finding(check: str, told: str, more: dict[str, Any]) -> None:
    found = findings(picture(facts(**more)))
    assert check in found
    assert told in found[check].cause


def test_a_lost_quorum_names_who_has_to_come_back_and_how_to_go_on_without() -> None:
    away = tuple(Host(name, "10.0.0.9", True, reason="cannot be reached") for name in ("cp2", "cp3"))
    found = findings(picture(hosts=(Host("cp1", "10.0.0.1", True, facts(etcd=ALONE)), *away)))
    assert "bring cp2, cp3 back" in found["etcd-quorum"].mend
    assert "kdist etcd recover --lost cp2,cp3" in found["etcd-quorum"].mend


def test_a_quorum_of_hosts_without_one_of_members_is_not_to_be_given_up() -> None:
    assert "recover" not in findings(picture(facts(etcd=ALONE)))["etcd-quorum"].mend


def test_a_young_cluster_need_not_have_a_snapshot() -> None:
    young = {"scheduled": True, "newest": None, "since": NOW - 3600, "last": None}
    assert findings(picture(facts(snapshots=young))) == {}


def test_a_host_without_a_release_is_not_told_to_lack_units_too() -> None:
    bare = {"version": {"current": "", "releases": []}, "units": {}}
    assert set(findings(picture(w1=worker(**bare), cluster=cluster(nodes=[node("cp1")])))) == {
        "not-installed"
    }


def test_a_clock_that_differs_for_certain_is_named_against_the_majority() -> None:
    hosts = tuple(
        Host(name, f"10.0.0.{i}", False, worker(), clock=clock)
        for i, (name, clock) in enumerate({"a": (70.0, 71.0), "b": (-0.5, 0.5), "c": (0.0, 1.4)}.items())
    )
    nodes = [node(host.name) for host in hosts]
    found = findings(picture(hosts=hosts, cluster=cluster(nodes=nodes)))
    assert list(found) == ["clock-skew"]
    assert found["clock-skew"].subject == "a"
    assert "at least 70 s ahead of" in found["clock-skew"].finding


def test_slow_answers_do_not_look_like_wrong_clocks() -> None:
    hosts = (
        Host("a", "", False, worker(), clock=(-8.0, 0.2)),
        Host("b", "", False, worker(), clock=(-0.1, 6.0)),
    )
    assert findings(picture(hosts=hosts, cluster=cluster(nodes=[node("a"), node("b")]))) == {}


UNREADY = node("w1", ready=False, reason="KubeletNotReady", message="no network")
CORDONED = node("w1", unschedulable=True, annotations={"kdist.io/cordoned-by": "upgrade"})
TOO_FEW = {"kind": "DaemonSet", "name": "kdist-net", "wanted": 2, "available": 1, "version": ""}
HELD = {
    "kind": "Namespace",
    "name": "old",
    "since": "2026-11-21T11:00:00Z",
    "messages": [],
    "finalizers": ["a.b/hold"],
}
CUT_OFF = {
    "state": "running",
    "entries": [{"name": "s", "state": "done"}, {"name": "cp1/drain", "state": "running"}],
}


@pytest.mark.parametrize(
    ("check", "told", "more"),
    [
        ("node-not-ready", "KubeletNotReady: no network", {"nodes": [node("cp1"), UNREADY]}),
        ("node-missing", "has not reached", {"nodes": [node("cp1")]}),
        ("node-missing", "inventory", {"nodes": [node("cp1"), node("w1"), node("w7")]}),
        ("node-pressure", "evicted", {"nodes": [node("cp1"), node("w1", pressure=["DiskPressure"])]}),
        ("node-cordoned", "kdist.io/cordoned-by=upgrade", {"nodes": [node("cp1"), CORDONED]}),
        ("workload-unavailable", "see its pods", {"workloads": [TOO_FEW]}),
        ("no-leader", "never held", {"leases": {}}),
        ("server-skew", "cp2 v1.33.0", {"servers": {"cp1": {"version": "v1.32.0"}, "cp2": {"version": "v1.33.0"}}}),
        ("stuck-deletion", "finalizers a.b/hold", {"terminating": [HELD]}),
        ("interrupted-operation", "1 of 2 steps are done; cp1/drain: running", {"operations": {"upgrade": CUT_OFF}}),
    ],
)  # fmt: skip
def test_what_the_api_tells_becomes_a_finding(check: str, told: str, more: dict[str, Any]) -> None:
    found = findings(picture(cluster=cluster(**more)))
    assert list(found) == [check]
    assert told in found[check].cause


def pod(**more: Any) -> dict[str, Any]:
    status = {"phase": "Pending"} | more.pop("status", {})
    metadata = {"name": "p", "namespace": "d", "creationTimestamp": "2026-11-21T11:00:00Z"} | more.pop(
        "metadata", {}
    )
    return {
        "metadata": metadata,
        "spec": {"containers": [{"image": "x"}], "nodeName": "w1"} | more,
        "status": status,
    }


UNSCHEDULABLE = {
    "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}]
}
PULL = {
    "containerStatuses": [
        {"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    ]
}
CRASH = {
    "containerStatuses": [
        {"name": "c", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    ]
}


@pytest.mark.parametrize(
    ("check", "told", "one"),
    [
        ("pod-pending", "0/2 nodes are available", pod(nodeName="", status=UNSCHEDULABLE)),
        ("pod-missing-image", "no such image", pod(status=PULL)),
        ("pod-failing", "CrashLoopBackOff", pod(status=CRASH | {"phase": "Running"})),
        (
            "stuck-deletion",
            "node w1 does not end it",
            pod(metadata={"deletionTimestamp": "2026-11-21T11:00:00Z"}),
        ),
    ],
)
def test_pods_that_are_not_well_become_findings(check: str, told: str, one: dict[str, Any]) -> None:
    unwell = unwell_pod(one, NOW)
    assert unwell is not None
    found = findings(picture(cluster=cluster(pods={"counts": {}, "unwell": [unwell]})))
    assert list(found) == [check]
    assert told in found[check].cause


def test_young_ready_and_finished_pods_are_well() -> None:
    young = pod(metadata={"creationTimestamp": "2026-11-21T11:59:50Z"})
    ready = pod(status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    assert [unwell_pod(one, NOW) for one in (young, ready, pod(status={"phase": "Succeeded"}))] == [None] * 3


def test_many_pods_are_told_as_a_number() -> None:
    unwell = unwell_pod(pod(status=PULL), NOW)
    found = doctor.examine(picture(cluster=cluster(pods={"counts": {}, "unwell": [unwell] * 50})))
    assert len(found) == 21
    assert found[-1].finding == "30 more wait for images"


def test_a_host_that_can_tell_nothing_breaks_no_check() -> None:
    broken = {part: {"error": "OSError: Input/output error"} for part in facts()}
    assert "not-installed" in findings(picture(broken))


def test_every_command_that_is_to_mend_something_exists() -> None:
    directory = Path(doctor.__file__).parent
    text = "\n".join(path.read_text() for path in directory.glob("*.py"))
    for command, sub in re.findall(r"kdist (etcd|pki|upgrade|reset|remove|join) ([a-z]+)", text):
        module, _ = COMMANDS[command]
        group = getattr(importlib.import_module(module), command)
        assert sub in group.commands, f"kdist {command} {sub}"


def test_a_lock_whose_process_has_ended_is_told() -> None:
    gone = Holder("1", "ann", "here", "kdist upgrade apply", 1, boot=_boot(), started="never")
    found = findings(picture(locks={"cp1": (gone, 60.0)}))
    assert list(found) == ["operator-lock"]
    assert "that process has ended" in found["operator-lock"].cause


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_journals_beside_the_inventory_are_read_and_a_broken_one_is_told(tmp_path: Path) -> None:
    journal = Journal(
        "restore", [Entry("cp1/restore", state=State.FAILED, detail="no room")], state=State.FAILED
    )
    JournalFile(tmp_path / "restore.json").save(journal)
    (tmp_path / "upgrade.json").write_text("{")
    found = doctor.examine(picture(journals=journals(tmp_path)))
    assert [(f.check, f.subject, f.severity) for f in found] == [
        ("interrupted-operation", "journal upgrade", Severity.ERROR),
        ("interrupted-operation", "operation restore", Severity.ERROR),
    ]
    assert "cp1/restore: failed no room" in found[1].cause


def removed(asked: str = "") -> dict[str, Any]:
    return {"node": "w9", "moment": "2026-11-20T10:00:00Z", "asked": asked}


def test_a_removed_node_is_told_while_it_asks_to_come_in() -> None:
    asks = findings(picture(cluster=cluster(removed=[removed("2026-11-21T11:58:00Z")])))["node-removed"]
    assert (asks.subject, asks.finding) == ("w9", "was removed and is on: it asks to come in")
    assert "ansible-playbook site.yml --limit w9; or clean it: kdist reset --limit w9" in asks.mend
    for quiet in ("", "2026-11-20T10:00:07Z"):
        assert "node-removed" not in findings(picture(cluster=cluster(removed=[removed(quiet)])))


def test_a_removed_node_in_the_inventory_is_told_and_not_as_one_that_has_not_registered() -> None:
    one = {**removed(), "node": "w1"}
    found = findings(picture(cluster=cluster(nodes=[node("cp1")], removed=[one])))
    assert found["node-removed"].finding == "was removed and is still in the inventory"
    assert "node-missing" not in found
