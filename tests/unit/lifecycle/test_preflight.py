"""Preflight: every host's shortcomings come together, and what is ours is not in our way."""

from typing import Any

from kdist.lifecycle import preflight, spec
from kdist.lifecycle.preflight import MIB

GOOD: dict[str, Any] = {
    "os_id": "debian",
    "os_version": "12",
    "init": "systemd",
    "user_id": 0,
    "memory_total": 4096 * MIB,
    "swap_total": 0,
    "disk_free": 20000 * MIB,
    "filesystems": ["overlay"],
    "cgroup_controllers": ["cpu", "memory", "pids", "cpuset"],
    "listeners": [],
    "foreign_services": [],
    "read_only_sysctls": [],
    "installed": False,
    "has_authority": False,
    "has_etcd_data": False,
    "time": 1000.0,
}


def cluster() -> spec.ClusterSpec:
    hostvars = {"cp1": {"ansible_host": "10.0.0.1"}, "w1": {"ansible_host": "10.0.0.2"}}
    found, _ = spec.read(hostvars, {"kube_control_plane": ["cp1"], "kube_node": ["w1"]})
    assert found is not None
    return found


def judge(cp1: dict[str, Any] | None = None, w1: dict[str, Any] | None = None) -> list[str]:
    observed = {
        "cp1": {**GOOD, "addresses": ["10.0.0.1"], **(cp1 or {})},
        "w1": {**GOOD, "addresses": ["10.0.0.2"], **(w1 or {})},
    }
    return [str(p) for p in preflight.judge(cluster(), observed, 1000.0).problems]


def test_good_hosts_have_no_problem() -> None:
    assert judge() == []


def test_unreachable_small_and_occupied_hosts_are_reported_together() -> None:
    taken = [{"port": 6443, "process": "nginx: master", "ours": False}]
    small = {**GOOD, "addresses": ["10.0.0.1"], "memory_total": 512 * MIB, "listeners": taken}
    found = preflight.judge(cluster(), {"cp1": small, "w1": None}, 1000.0).problems
    assert [str(p) for p in found] == [
        "cp1: has 512 MiB of memory; a control plane needs 1500 MiB",
        "cp1: port 6443 (API server) is in use by nginx: master",
        "w1: ansible_host: unreachable at 10.0.0.2 over ssh",
    ]


def test_own_processes_do_not_occupy_ports() -> None:
    assert judge(cp1={"listeners": [{"port": 6443, "process": "kdist apiserver", "ours": True}]}) == []


def test_worker_may_use_the_ports_of_a_control_plane() -> None:
    assert judge(w1={"listeners": [{"port": 2379, "process": "etcd", "ours": False}]}) == []


def test_wrong_clock_and_address_are_named() -> None:
    assert judge(w1={"time": 5000.0, "addresses": ["192.0.2.7"]}) == [
        "w1: has no interface with address 10.0.0.2 (it has 192.0.2.7); set kdist_node_ip",
        "w1: its clock differs by +4000 s from the operator's; set up time synchronisation",
    ]


def test_authority_stays_where_it_is() -> None:
    observed = {"cp1": {**GOOD, "addresses": ["10.0.0.1"], "has_authority": True}, "w1": None}
    assert preflight.judge(cluster(), observed, 1000.0).authority_holder == "cp1"


def test_a_control_plane_without_etcd_data_beside_one_with_data_joins() -> None:
    hostvars = {"cp1": {"ansible_host": "10.0.0.1"}, "cp2": {"ansible_host": "10.0.0.2"}}
    two, _ = spec.read(hostvars, {"kube_control_plane": ["cp1", "cp2"]})
    assert two is not None
    old = {**GOOD, "addresses": ["10.0.0.1"], "has_etcd_data": True}
    new = {**GOOD, "addresses": ["10.0.0.2"]}

    def joining(observed: dict[str, Any]) -> tuple[str, ...]:
        return preflight.judge(two, observed, 1000.0).joining(two)

    assert joining({"cp1": old, "cp2": new}) == ("cp2",)
    assert joining({"cp2": new}) == ("cp2",), "cp1 was not looked at: it may have data"
    assert joining({"cp1": {**old, "has_etcd_data": False}, "cp2": new}) == ()


def test_hosts_outside_the_limit_are_not_judged() -> None:
    assert preflight.judge(cluster(), {}, 1000.0).problems == ()
