"""Preflight: every host's shortcomings come together, and what is ours is not in our way."""

from typing import Any

from kdist.lifecycle import preflight, spec, surroundings
from kdist.lifecycle.preflight import MIB

GOOD: dict[str, Any] = {
    "os_id": "debian",
    "os_version": "12",
    "init": "systemd",
    "user_id": 0,
    "memory_total": 4096 * MIB,
    "swap_total": 0,
    "memory_available": 3000 * MIB,
    "disks": {
        place: {"device": 1, "free": 20000 * MIB, "inodes": 1000, "inodes_free": 900}
        for place in (*preflight.DISK_FREE, *preflight.DISK_FREE_CONTROL_PLANE)
    },
    "features": dict.fromkeys(surroundings.FEATURES, True),
    "names": {
        "hostname": "h",
        "own_name": ["10.0.0.9"],
        "localhost": ["127.0.0.1"],
        "servers": [],
        "silent": [],
    },
    "peers": {},
    "sync_latency": None,
    "clock": [-0.2, 0.1],
    "cgroup_controllers": ["cpu", "memory", "pids", "cpuset"],
    "listeners": [],
    "foreign_services": [],
    "read_only_sysctls": [],
    "installed": False,
    "has_authority": False,
    "has_etcd_data": False,
    "founded_on": {},
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
    return [str(p) for p in preflight.judge(cluster(), observed).problems]


def test_good_hosts_have_no_problem() -> None:
    assert judge() == []


def test_networks_of_a_running_cluster_cannot_change() -> None:
    same = {"pod_cidr": "10.244.0.0/16", "node_cidr_mask_size": "24", "dns_domain": "cluster.local"}
    assert judge(cp1={"founded_on": same}) == []
    assert judge(cp1={"founded_on": same | {"pod_cidr": "10.9.0.0/16"}}) == [
        "cp1: kdist_pod_cidr: is 10.244.0.0/16, and the cluster was made with 10.9.0.0/16, which its objects use: "
        "set it to 10.9.0.0/16 again"
    ]


def test_a_running_cluster_may_become_dual_stack_and_nothing_else() -> None:
    two = {
        "kdist_pod_cidr": "10.244.0.0/16,fd00:244::/56",
        "kdist_service_cidr": "10.96.0.0/16,fd00:96::/112",
    }
    hostvars = {"cp1": {"ansible_host": "10.0.0.1", "kdist_node_ip": "10.0.0.1,fd00::1", **two}}
    wanted, found = spec.read(hostvars, {"kube_control_plane": ["cp1"]})
    assert wanted
    assert not found

    def judged(addresses: list[str], **founded: str) -> list[str]:
        observed = {"cp1": {**GOOD, "addresses": addresses, "founded_on": founded}}
        return [str(p) for p in preflight.judge(wanted, observed).problems]

    both = ["10.0.0.1", "fd00::1"]
    assert judged(both, pod_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16") == []
    assert judged(both, pod_cidr="10.244.0.0/16,fd00:244::/56", node_cidr_mask_size_ipv6="64") == []
    (problem,) = judged(both, pod_cidr="10.244.0.0/16,fd00:9::/56")
    assert problem.endswith("set it to 10.244.0.0/16,fd00:9::/56 again")
    (problem,) = judged(["10.0.0.1"])
    assert problem == "cp1: has no interface with address fd00::1 (it has 10.0.0.1); set kdist_node_ip"
    assert judge(cp1={"founded_on": {"pod_cidr": "10.244.0.0/16,fd00:244::/56"}}) == [
        "cp1: kdist_pod_cidr: is 10.244.0.0/16, and the cluster was made with 10.244.0.0/16,fd00:244::/56, which its "
        "objects use: set it to 10.244.0.0/16,fd00:244::/56 again"
    ]


def test_unreachable_small_and_occupied_hosts_are_reported_together() -> None:
    taken = [{"port": 6443, "process": "nginx: master", "ours": False}]
    small = {**GOOD, "addresses": ["10.0.0.1"], "memory_total": 512 * MIB, "listeners": taken}
    found = preflight.judge(cluster(), {"cp1": small, "w1": None}).problems
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
    assert judge(w1={"clock": [4000.0, 4000.9], "addresses": ["192.0.2.7"]}) == [
        "w1: has no interface with address 10.0.0.2 (it has 192.0.2.7); set kdist_node_ip",
        "w1: its clock differs by +4000 s from the operator's; set up time synchronisation",
    ]


def warned(cp1: dict[str, Any] | None = None, w1: dict[str, Any] | None = None) -> list[str]:
    observed = {
        "cp1": {**GOOD, "addresses": ["10.0.0.1"], **(cp1 or {})},
        "w1": {**GOOD, "addresses": ["10.0.0.2"], **(w1 or {})},
    }
    return [str(p) for p in preflight.judge(cluster(), observed).warnings]


def test_good_hosts_give_no_warning() -> None:
    assert warned() == []


def test_clocks_that_differ_between_hosts_are_a_warning_and_slow_answers_are_not() -> None:
    assert warned(w1={"clock": [7.0, 7.5]})[0].startswith("w1: its clock is at least 7 s from that of")
    assert warned(w1={"clock": [-6.0, 0.1]}, cp1={"clock": [-0.1, 6.0]}) == []


def disks(**places: int) -> dict[str, Any]:
    given = {f"/{name.replace('_', '/')}": free for name, free in places.items()}
    return {
        place: {**disk, "device": hash(place), "free": given[place] * MIB} if place in given else disk
        for place, disk in GOOD["disks"].items()
    }


def test_room_is_judged_by_file_system() -> None:
    assert judge(cp1={"disks": disks(var_lib_kdist=100)}) == [
        "cp1: has 100 MiB free for /var/lib/kdist; 400 MiB are needed there"
    ]
    small = {place: {**disk, "free": 2000 * MIB} for place, disk in GOOD["disks"].items()}
    (told,) = judge(w1={"disks": small})
    assert told.endswith("2200 MiB are needed there")
    assert judge(w1={"disks": small, "installed": True}) == []


def test_few_inodes_and_little_memory_at_hand_are_warnings() -> None:
    few = {place: {**disk, "inodes_free": 20} for place, disk in GOOD["disks"].items()}
    assert "has 20 inodes left" in warned(cp1={"disks": few})[0]
    assert warned(w1={"memory_available": 100 * MIB}) == [
        "w1: has 100 MiB of memory at hand; what else runs there takes the rest"
    ]


def test_a_slow_etcd_disk_is_a_warning_and_one_that_loses_leaders_a_problem() -> None:
    assert "takes 64 ms for a synchronised write" in warned(cp1={"sync_latency": 0.064})[0]
    assert judge(cp1={"sync_latency": 0.064}) == []
    assert "takes 700 ms for a synchronised write" in judge(cp1={"sync_latency": 0.7})[0]
    assert warned(cp1={"sync_latency": 0.004}) == []


def test_missing_kernel_features_are_named_all_at_once() -> None:
    without = {**GOOD["features"], "nftables": False, "vxlan": False}
    assert judge(w1={"features": without}) == [
        "w1: the kernel has no nftables (CONFIG_NF_TABLES)",
        "w1: the kernel has no VXLAN (CONFIG_VXLAN)",
    ]


def peer(**more: Any) -> dict[str, Any]:
    return {"cp1": {"reached": True, "mtu": 1500, "full": True, **more}}


def test_hosts_that_do_not_reach_each_other_are_a_problem() -> None:
    assert judge(w1={"peers": peer(reached=False, full=None)}) == [
        "w1: does not reach cp1 at 10.0.0.1; see routes and firewalls between the two"
    ]


def test_a_silent_host_that_nobody_looked_at_is_a_warning() -> None:
    observed = {"w1": {**GOOD, "addresses": ["10.0.0.2"], "peers": peer(reached=False, full=None)}}
    verdict = preflight.judge(cluster(), observed)
    assert verdict.problems == ()
    assert [str(p) for p in verdict.warnings] == [
        "w1: does not reach cp1 at 10.0.0.1, which was not looked at"
    ]


def test_a_network_that_carries_less_than_the_mtu_is_a_problem() -> None:
    assert "packets of 1500 bytes do not reach cp1 undivided" in judge(w1={"peers": peer(full=False)})[0]
    assert judge(w1={"peers": peer(full=None)}) == [], "reached by TCP only: nothing is known"


def test_names_that_do_not_resolve() -> None:
    names = GOOD["names"]
    assert judge(w1={"names": {**names, "localhost": []}}) == [
        "w1: localhost does not resolve to a loopback address; mend /etc/hosts"
    ]
    assert warned(w1={"names": {**names, "own_name": [], "silent": ["192.0.2.53"]}}) == [
        "w1: its own name h does not resolve; put it into /etc/hosts",
        "w1: the name server 192.0.2.53 does not answer; pods that ask for names outside the cluster will wait for it",
    ]


def test_every_host_reaches_for_control_planes_and_its_neighbours_only() -> None:
    hosts = [f"h{number}" for number in range(1000)]
    planes = hosts[:3]
    asked = {name: surroundings.targets(name, hosts, planes) for name in hosts}
    assert max(len(targets) for targets in asked.values()) == 6
    assert {target for targets in asked.values() for target in targets} == set(hosts)
    assert asked["h999"] == ["h0", "h1", "h2"]
    assert surroundings.targets("only", ["only"], ["only"]) == []


def test_authority_stays_where_it_is() -> None:
    observed = {"cp1": {**GOOD, "addresses": ["10.0.0.1"], "has_authority": True}, "w1": None}
    assert preflight.judge(cluster(), observed).authority_holder == "cp1"


def test_a_control_plane_without_etcd_data_beside_one_with_data_joins() -> None:
    hostvars = {"cp1": {"ansible_host": "10.0.0.1"}, "cp2": {"ansible_host": "10.0.0.2"}}
    two, _ = spec.read(hostvars, {"kube_control_plane": ["cp1", "cp2"]})
    assert two is not None
    old = {**GOOD, "addresses": ["10.0.0.1"], "has_etcd_data": True}
    new = {**GOOD, "addresses": ["10.0.0.2"]}

    def joining(observed: dict[str, Any]) -> tuple[str, ...]:
        return preflight.judge(two, observed).joining(two)

    assert joining({"cp1": old, "cp2": new}) == ("cp2",)
    assert joining({"cp2": new}) == ("cp2",), "cp1 was not looked at: it may have data"
    assert joining({"cp1": {**old, "has_etcd_data": False}, "cp2": new}) == ()


def test_hosts_outside_the_limit_are_not_judged() -> None:
    assert preflight.judge(cluster(), {}).problems == ()
