"""Reset takes away what came with kdist, and nothing that was there before or that others need."""

from typing import Any

from ansible.module_utils import kdist_teardown as teardown
from ansible.module_utils.kdist_teardown import Package

FRESH: dict[str, Any] = {
    "trees": {"/etc/kubernetes": None, "/var/lib/kubelet": [], "/etc/containerd": ["old.toml"]},
    "links": ["eth0", "lo", "veth-mine"],
    "mounts": ["/", "/var/lib/kubelet"],
    "tables": ["inet filter"],
    "files": {},
    "directories": [],
    "packages": {},
    "sysctls": {},
}


def ledger(**more: Any) -> dict[str, Any]:
    return {**FRESH, **more}


def test_units_stop_before_what_they_start() -> None:
    files = {
        "/etc/systemd/system/kdist-agent.service": None,
        "/etc/systemd/system/kdist-snapshot.timer": None,
        "/etc/systemd/system/ssh.service": {"mode": 0o644},
        "/etc/crictl.yaml": None,
    }
    assert teardown.units(ledger(files=files)) == ["kdist-snapshot.timer", "kdist-agent.service"]


def installed(**depends: str) -> dict[str, Package]:
    return {name: teardown.parse_package(name, "", text) for name, text in depends.items()}


def test_packages_that_came_with_kdist_are_purged_together() -> None:
    there = installed(containerd="runc (>= 1.0), libc6", runc="libc6", libc6="")
    plan = teardown.packages({"containerd": None, "runc": None}, there, {})
    assert plan.steps == [("purge", "containerd"), ("purge", "runc")]


def test_a_package_that_another_one_needs_stays_and_so_does_what_it_needs() -> None:
    there = installed(docker="containerd | containerd.io", containerd="runc", runc="", socat="")
    plan = teardown.packages(dict.fromkeys(["containerd", "runc", "socat"]), there, {})
    assert plan.steps == [("purge", "socat")]
    assert plan.stays == {
        "package containerd": "docker needs it",
        "package runc": "containerd needs it",
    }


def test_an_alternative_that_stays_frees_ours() -> None:
    there = installed(thing="nftables | iptables", nftables="", iptables="")
    assert teardown.packages({"nftables": None}, there, {}).steps == [("purge", "nftables")]


def test_what_a_package_provides_counts_as_the_package() -> None:
    there = {
        "app": teardown.parse_package("app", "", "mail-agent"),
        "postfix": teardown.parse_package("postfix", "mail-agent (= 1)", ""),
    }
    assert teardown.packages({"postfix": None}, there, {}).stays == {"package postfix": "app needs it"}


def test_a_package_that_was_there_before_stays_with_both_versions() -> None:
    plan = teardown.packages({"runc": "1.0"}, installed(runc=""), {"runc": "1.1"})
    assert plan.steps == []
    assert plan.stays == {"package runc": "was there before as 1.0, is now 1.1"}


def test_links_of_the_pod_network_and_new_cables_go_and_the_hosts_own_stay() -> None:
    present = {"eth0": "", "cni0": "bridge", "veth12": "veth", "veth-mine": "veth", "br-own": "bridge"}
    plan = teardown.links(ledger(), present)
    assert plan.steps == [("delete link", "veth12"), ("delete link", "cni0")]


def table(name: str) -> dict[str, Any]:
    return {"table": {"family": "ip", "name": name}}


def rule(chain: str, jump: str = "", handle: int = 1) -> dict[str, Any]:
    expr = [{"jump": {"target": jump}}] if jump else [{"accept": None}]
    return {"rule": {"family": "ip", "table": "nat", "chain": chain, "handle": handle, "expr": expr}}


def test_our_tables_and_a_table_that_only_host_ports_made_go_whole() -> None:
    ruleset = [
        table("kdist-proxy"),
        table("nat"),
        table("mine"),
        rule("PREROUTING", "CNI-HOSTPORT-DNAT"),
        rule("CNI-HOSTPORT-DNAT"),
    ]
    plan = teardown.tables(ledger(), ruleset)
    assert plan.steps == [("delete table", "ip kdist-proxy"), ("delete table", "ip nat")]


def test_a_shared_table_loses_just_the_chains_of_host_ports() -> None:
    chain = {"chain": {"family": "ip", "table": "nat", "name": "CNI-HOSTPORT-DNAT"}}
    ruleset = [table("nat"), chain, rule("PREROUTING", "CNI-HOSTPORT-DNAT", 7), rule("PREROUTING", handle=8)]
    assert teardown.tables(ledger(), ruleset).steps == [
        ("delete rule", "ip nat PREROUTING handle 7"),
        ("flush chain", "ip nat CNI-HOSTPORT-DNAT"),
        ("delete chain", "ip nat CNI-HOSTPORT-DNAT"),
    ]


def test_mounts_that_came_since_go_last_first_and_a_mount_of_the_hosts_own_stays() -> None:
    pod = "/var/lib/kubelet/pods/1/volumes/token"
    present = ["/", "/var/lib/kubelet", pod, pod, "/home"]
    assert teardown.mounts(ledger(), present).steps == [("unmount", pod), ("unmount", pod)]


def test_trees_go_from_the_leaves_and_what_was_in_them_before_stays() -> None:
    present = {"/etc/kubernetes": ["pki", "pki/ca.key"], "/etc/containerd": ["old.toml", "config.toml"]}
    assert [path for _, path in teardown.trees(ledger(), present, []).steps] == [
        "/etc/kubernetes/pki/ca.key",
        "/etc/kubernetes/pki",
        "/etc/kubernetes",
        "/etc/containerd/config.toml",
    ]


def test_kept_data_stays_with_the_directories_above_it() -> None:
    present = {"/etc/kubernetes": ["pki", "pki/ca.key", "admin.conf"]}
    plan = teardown.trees(ledger(), present, ["/etc/kubernetes/pki"])
    assert [path for _, path in plan.steps] == ["/etc/kubernetes/admin.conf"]
    assert plan.stays == {"/etc/kubernetes/pki": "data is kept"}


def test_a_tree_that_was_too_large_to_list_is_left_alone() -> None:
    content = ledger(trees={"/var/lib/containerd": ["*"]})
    plan = teardown.trees(content, {"/var/lib/containerd": ["io"]}, [])
    assert plan.steps == []
    assert "/var/lib/containerd" in plan.stays


def test_changed_files_are_restored_and_new_ones_removed_before_their_directories() -> None:
    content = ledger(files={"/etc/a/new": None, "/etc/old": {"mode": 0o644}}, directories=["/etc/a"])
    assert teardown.files(content, []).steps == [
        ("remove", "/etc/a/new"),
        ("restore", "/etc/old"),
        ("remove directory", "/etc/a"),
    ]


def test_only_sysctls_that_differ_and_can_be_read_are_set_back() -> None:
    content = ledger(sysctls={"a.b": "0", "c.d": "1", "gone": "1"})
    assert teardown.sysctls(content, {"a.b": "1", "c.d": "1"}).steps == [("set", "a.b=0")]


def test_the_virtual_address_is_read_from_its_manifest() -> None:
    assert teardown.virtual_address("  - --address=10.0.0.100\n") == "10.0.0.100"
    assert teardown.virtual_address("") is None
