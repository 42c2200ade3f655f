"""What a lab consists of, without making one."""

from pathlib import Path

import pytest
import yaml

from kdist.config.lab import LabSettings
from kdist.lab import inventory
from kdist.lab.boot import plan_boot
from kdist.lab.network import route_matters
from kdist.lab.plan import Lab, clash, etc_hosts, plan_lab
from kdist.lab.process import LabError

BASE = Path("/labs/base/bookworm-1")


def lab(**changes: object) -> Lab:
    return plan_lab(
        LabSettings(**{"dir": Path("/labs"), "inventory": Path("/inv/hosts.yml"), **changes}),  # type: ignore[arg-type]
        lambda suite: BASE.with_name(f"{suite}-1"),
    )


def test_hosts_are_named_by_role_and_addressed_from_the_eleventh_on() -> None:
    planned = lab(hosts=4, control_planes=2)
    assert [(h.name, h.address, h.control_plane) for h in planned.hosts] == [
        ("cp1", "10.77.0.11", True),
        ("cp2", "10.77.0.12", True),
        ("w1", "10.77.0.13", False),
        ("w2", "10.77.0.14", False),
    ]


def test_a_hosts_mac_follows_from_its_address() -> None:
    assert lab().hosts[0].mac == "02:4d:0a:4d:00:0b"


def test_two_labs_share_no_name_on_the_machine() -> None:
    one, other = lab(), lab(name="mol1", subnet="10.78.0.0/24")
    assert {one.netns, one.path, one.host_netns(one.hosts[0])}.isdisjoint(
        {other.netns, other.path, other.host_netns(other.hosts[0])}
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "a/b"}, "--name a/b"),
        ({"suite": ("sid",)}, "there is no sid; choose one of bookworm, trixie"),
        ({"suite": ("bookworm", "trixie")}, "one release for all hosts"),
        ({"suite": ("w7=trixie",)}, "no host w7; the lab has cp1, w1, w2"),
        ({"control_planes": 4}, "between 1 and --hosts"),
        ({"subnet": "10.77.0.1/24"}, "--subnet 10.77.0.1/24"),
        ({"subnet": "10.77.0.0/29"}, "too small"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_flag(changes: dict[str, object], told: str) -> None:
    with pytest.raises(LabError, match=told.replace("(", r"\(")):
        lab(**changes)


def test_an_unknown_host_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="no host w9; it has cp1, w1, w2"):
        lab().host("w9")


def test_a_lab_survives_its_state_file() -> None:
    assert Lab.from_json(lab().to_json()) == lab()


def test_a_lab_on_an_older_base_is_the_same_lab() -> None:
    older = Lab.from_json({**lab().to_json(), "bases": {"bookworm": "/labs/base/older"}})
    assert lab().same_as(older)
    assert not lab().same_as(lab(hosts=2))


def test_hosts_of_one_lab_may_run_different_releases() -> None:
    mixed = lab(suite=("trixie", "w1=bookworm"))
    assert {host.name: host.suite for host in mixed.hosts} == {
        "cp1": "trixie",
        "w1": "bookworm",
        "w2": "trixie",
    }
    assert mixed.bases == {"bookworm": "/labs/base/bookworm-1", "trixie": "/labs/base/trixie-1"}
    boots = {host.name: plan_boot(mixed, host, []) for host in mixed.hosts}
    assert "lowerdir=/labs/base/bookworm-1," in " ".join(boots["w1"].command)
    assert "lowerdir=/labs/base/trixie-1," in " ".join(boots["w2"].command)
    assert "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE" in boots["cp1"].environment


def test_a_lab_of_an_older_kdist_can_still_be_taken_down() -> None:
    present = lab().to_json()
    del present["bases"]
    hosts = [{k: v for k, v in host.items() if k != "suite"} for host in present["hosts"]]
    older = {**present, "suite": "bookworm", "base": "/labs/base/bookworm-1", "hosts": hosts}
    assert Lab.from_json(older) == lab()


def test_every_host_knows_all_hosts_by_name() -> None:
    assert "10.77.0.11 cp1\n10.77.0.12 w1\n10.77.0.13 w2\n" in etc_hosts(lab())


def test_a_range_is_taken_when_any_network_overlaps_it() -> None:
    taken = {"a route": ["192.168.0.0/16"], "network namespace x": ["10.77.0.1/16"]}
    assert clash("10.77.0.0/24", taken) == "10.77.0.1/16 in network namespace x"
    assert clash("10.99.0.0/24", taken) is None
    assert not route_matters("127.0.0.1")


def test_a_host_boots_in_its_own_namespace_with_containerd_on_a_plain_disk() -> None:
    planned = lab()
    boot = plan_boot(planned, planned.hosts[0], [Path("/sys/fs/cgroup/pids/kdist-lab/cp1")])
    assert "--network-namespace-path=/run/netns/kdist-lab-cp1" in boot.command
    assert "--bind=/labs/labs/lab/hosts/cp1/containerd:/var/lib/containerd" in boot.command
    assert "route add default via 10.77.0.1" in boot.host_batch
    assert boot.command.index("unshare") < boot.command.index("systemd-nspawn")


def test_the_inventory_has_the_groups_of_any_cluster() -> None:
    written = yaml.safe_load(inventory.render(lab()))["all"]
    assert written["hosts"]["w1"] == {"ansible_host": "10.77.0.12"}
    groups = {
        name: list(group.get("hosts", group.get("children"))) for name, group in written["children"].items()
    }
    assert groups == {
        "kube_control_plane": ["cp1"],
        "etcd": ["cp1"],
        "kube_node": ["w1", "w2"],
        "k8s_cluster": ["kube_control_plane", "kube_node"],
    }
    assert "nsenter --net=/run/netns/kdist-lab " in written["vars"]["ansible_ssh_common_args"]


def test_hosts_of_a_dual_stack_lab_have_an_address_of_each_family() -> None:
    planned = lab(subnet="10.97.0.0/24", subnet6="fd97::/64")
    w1 = planned.host("w1")
    assert (w1.address, w1.address6) == ("10.97.0.12", "fd97::12")
    batch = plan_boot(planned, w1, []).host_batch
    assert batch[-2:] == ("addr add fd97::12/64 dev eth0 nodad", "route add default via fd97::1")
    assert "fd97::12 w1" in etc_hosts(planned)
    hosts = yaml.safe_load(inventory.render(planned))["all"]["hosts"]
    assert hosts["w1"] == {"ansible_host": "10.97.0.12", "kdist_node_ip": "10.97.0.12,fd97::12"}
    assert Lab.from_json(planned.to_json()) == planned


def test_a_lab_without_an_ipv6_range_knows_nothing_of_it() -> None:
    planned = lab()
    assert not any(":" in line for line in plan_boot(planned, planned.hosts[0], []).host_batch[2:])
    assert yaml.safe_load(inventory.render(planned))["all"]["hosts"]["w1"] == {"ansible_host": "10.77.0.12"}
    for text in ("fd97::1/64", "fd97::/120", "10.1.0.0/16"):
        with pytest.raises(LabError, match=f"--subnet6 {text}"):
            lab(subnet6=text)
