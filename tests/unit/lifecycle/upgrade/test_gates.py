"""What must hold before an upgrade and after its steps."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from kdist.lifecycle.upgrade import gates
from kdist.lifecycle.upgrade.gates import HostView, MemberView
from tests.unit.lifecycle.upgrade import NEW, OLD, deployment, node, static_pod, version, view

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seen(name: str, **more: object) -> HostView:
    fine = HostView(name, name.startswith("cp"), release="0.1.0", disk_free=10 << 30)
    return dataclasses.replace(fine, **more)  # type: ignore[arg-type]


def before(*hosts: HostView, **more: object) -> list[str]:
    return gates.before(hosts, view("cp1", "w1", **more), at=NOW, vip=False)


def test_a_healthy_cluster_may_begin() -> None:
    assert before(seen("cp1"), seen("w1")) == []


def test_everything_in_the_way_is_told_at_once() -> None:
    told = before(
        seen("cp1", certificates={"pki/apiserver.crt": NOW - timedelta(days=2)}),
        seen("w1", error="cannot be reached at 10.0.0.2 over ssh: no route"),
        servers={"cp1": "!etcd is slow"},
        workloads=[deployment("kdist-dns", available=1, wanted=2, namespace="kube-system")],
    )
    assert told == [
        "cp1: /etc/kubernetes/pki/apiserver.crt expired on 2025-12-30 00:00 UTC: renew it first",
        "cp1: its API server is not ready: etcd is slow (crictl logs of kube-apiserver there)",
        "w1: cannot be reached at 10.0.0.2 over ssh: no route",
        "Deployment kube-system/kdist-dns is not whole: 1 of 2 available",
    ]


def test_a_full_disk_and_a_certificate_that_ends_within_a_day_are_refused() -> None:
    told = before(
        seen("cp1", certificates={"kubelet.conf": NOW + timedelta(hours=3)}), seen("w1", disk_free=5 << 20)
    )
    assert told[0].startswith("cp1: /etc/kubernetes/kubelet.conf expires on 2026-01-01 03:00 UTC")
    assert told[1].startswith("w1: has 5 MiB free under /var/lib")


def test_a_node_that_is_not_ready_is_refused_with_what_it_says() -> None:
    told = before(seen("cp1"), seen("w1"), nodes={"cp1": node("cp1"), "w1": node("w1", ready="Unknown")})
    assert told == ["w1: not Ready: Ready is Unknown since then: told"]


def test_every_control_plane_must_be_a_healthy_voting_member() -> None:
    sick = [
        MemberView("cp1", error="context deadline exceeded"),
        MemberView("cp2", learner=True),
        MemberView("x"),
    ]
    assert gates.member_reasons(view("cp1", members=sick), ["cp1", "cp2", "cp3"]) == [
        "cp1: its etcd member is not healthy: context deadline exceeded",
        "cp2: its etcd member has no vote yet",
        "cp3: is no member of etcd",
        "etcd has a member 'x' that is no host of the inventory",
    ]


def open_for(**more: object) -> list[str]:
    return gates.host_open(view("cp1", at=NEW, **more), HostView("cp1", True), NEW, ["cp1"], vip=False)


def test_a_host_is_done_when_all_of_it_is_at_the_new_version() -> None:
    assert open_for() == []
    assert open_for(nodes={"cp1": node("cp1", OLD)}) == [
        "cp1: its agent reports v1.32.0+kdist.0.1.0, not kdist 0.2.0, API 1.33"
    ]
    assert open_for(servers={"cp1": version(OLD)}) == [
        "cp1: its API server is v1.32.0+kdist.0.1.0, not kdist 0.2.0, API 1.33"
    ]


def test_a_static_pod_of_the_old_image_or_not_ready_keeps_the_gate_shut() -> None:
    pods = [static_pod(part, "cp1", NEW) for part in gates.CONTROL_PLANE_PARTS[:2]]
    pods.append(static_pod("kube-controller-manager", "cp1", OLD))
    crashed = static_pod("kube-scheduler", "cp1", NEW, ready="False")
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    crashed["status"]["containerStatuses"] = [{"state": waiting}]
    assert open_for(system_pods=[*pods, crashed]) == [
        "cp1: static pod kube-controller-manager runs localhost/kdist:0.1.0, not version 0.2.0",
        "cp1: static pod kube-scheduler is not Ready: CrashLoopBackOff back-off",
    ]


def test_only_workloads_that_were_whole_before_must_be_whole_again() -> None:
    found = view("cp1", workloads=[deployment("web", available=2), deployment("old", available=0)])
    assert gates.still_missing(found, ["Deployment default/web", "Deployment default/gone"]) == [
        "Deployment default/web: 2 of 3 available"
    ]


def test_a_rollout_that_was_not_seen_yet_is_not_whole() -> None:
    stale = deployment("web", available=3)
    stale["metadata"]["generation"] = 2
    assert gates.broken([stale]) == {"Deployment default/web": "its last change has not been seen yet"}


def test_what_hosts_run_is_read_from_what_components_report() -> None:
    assert gates.now(seen("cp1"), view("cp1")).server == OLD
    assert gates.now(seen("w1"), view("cp1", "w1")).agent == OLD
    assert gates.now(seen("w9"), view("cp1")).agent is None
