"""The cluster file: what is accepted, and that everything wrong is reported at once by host and key."""

from pathlib import Path
from typing import Any

import pytest

from kdist.lifecycle import spec


def inventory(shared: dict[str, Any] | None = None, **hosts: dict[str, Any]) -> tuple[Any, Any]:
    base = {"cp1": {"ansible_host": "10.0.0.1"}, "w1": {"ansible_host": "10.0.0.2"}}
    merged = {
        name: {**base.get(name, {}), **(shared or {}), **hosts.get(name, {})} for name in {**base, **hosts}
    }
    return merged, {"kube_control_plane": ["cp1"], "kube_node": [n for n in merged if n != "cp1"]}


def problems(shared: dict[str, Any] | None = None, **hosts: dict[str, Any]) -> list[str]:
    return sorted(str(p) for p in spec.read(*inventory(shared, **hosts))[1])


def test_defaults_make_a_cluster() -> None:
    cluster, found = spec.read(*inventory())
    assert found == []
    assert cluster is not None
    assert cluster.dns_address == "10.96.0.10"
    assert [h.name for h in cluster.control_planes] == ["cp1"]


def test_unknown_key_is_reported_once_with_the_nearest_known() -> None:
    assert problems({"kdist_pod_cdir": "10.1.0.0/16"}) == [
        "all: kdist_pod_cdir: unknown key; did you mean kdist_pod_cidr?"
    ]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["x"], "must be a mapping of component to its flags"),
        ({"kube-apiservr": {}}, "unknown component 'kube-apiservr': did you mean kube-apiserver?"),
        ({"kubelet": "--v=4"}, "kubelet: must be a mapping of flag to value"),
        (
            {"kube-apiserver": {"max-request-inflight": 1}},
            "kube-apiserver has no flag 'max-request-inflight': did you mean max-requests-inflight? (kdist apiserver",
        ),
        ({"kube-apiserver": {"max-requests-inflight": "many"}}, "'many' is not a valid integer"),
        ({"kubelet": {"max-pods": 50}}, "kubelet: max-pods is set by kdist_max_pods"),
    ],
)
def test_flags_that_a_component_would_not_start_with_are_refused(flags: Any, reason: str) -> None:
    (problem,) = problems({"kdist_component_flags": flags})
    assert problem.startswith("all: kdist_component_flags: ")
    assert reason in problem


def test_flags_of_components_become_their_command_lines() -> None:
    flags = {
        "kube-apiserver": {"oidc-signing-algs": ["RS256", "ES256"], "max-requests-inflight": 800},
        "kubelet": {"rotate-certificates": False},
    }
    cluster, found = spec.read(*inventory({"kdist_component_flags": flags}))
    assert (found, cluster and cluster.settings.component_flags) == (
        [],
        {
            "kube-apiserver": ["--max-requests-inflight=800", "--oidc-signing-algs=RS256,ES256"],
            "kubelet": ["--rotate-certificates=false"],
        },
    )


def test_every_key_is_in_the_documentation_as_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cluster-file.md").read_text().splitlines()
    rows = [row for settings in (spec.ClusterSettings, spec.HostSettings) for row in spec.rows(settings)]
    assert [row for row in rows if row not in page] == []


def test_unknown_key_of_one_host_names_that_host() -> None:
    assert problems(w1={"kdist_nod_ip": "10.0.0.7"}) == [
        "w1: kdist_nod_ip: unknown key; did you mean kdist_node_ip?"
    ]


def test_all_problems_come_together() -> None:
    found = problems(
        {"kdist_pod_cidr": "10.96.0.0/12", "kdist_max_pods": 0, "kdist_addons": ["dsn"]},
        w1={"ansible_host": "worker-one"},
    )
    assert [line.rsplit(": ", 1)[0] if "unknown" in line else line for line in found] == [
        "all: kdist_addons",
        "all: kdist_max_pods: must be a whole number from 1 to 1000, not 0",
        "all: kdist_pod_cidr: 10.96.0.0/12 overlaps kdist_service_cidr 10.96.0.0/16",
        "w1: kdist_node_ip: no IP address known: ansible_host is 'worker-one'; set kdist_node_ip",
    ]


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        (
            {"kdist_pod_cidr": "10.0.0.0/16"},
            "cp1: kdist_pod_cidr: 10.0.0.0/16 contains the host's address 10.0.0.1",
        ),
        (
            {"kdist_pod_cidr": "10.244.0.1/16"},
            "all: kdist_pod_cidr: must be a network such as 10.244.0.0/16:",
        ),
        ({"kdist_dns_address": "10.9.0.1"}, "all: kdist_dns_address: 10.9.0.1 is outside kdist_service_cidr"),
        (
            {"kdist_pod_cidr": "10.244.0.0/24"},
            "all: kdist_pod_cidr: 10.244.0.0/24 has no room for 2 nodes of /24",
        ),
        ({"kdist_api_vip": "10.0.0.1"}, "all: kdist_api_vip: 10.0.0.1 is the address of host cp1"),
        (
            {"kdist_api_vip": "10.96.0.9"},
            "all: kdist_api_vip: 10.96.0.9 lies within kdist_service_cidr 10.96.0.0/16",
        ),
        (
            {"kdist_feature_gates": {"ImageVolumes": True}},
            "all: kdist_feature_gates: unrecognized feature gate: ImageVolumes (API level 1.32); did you mean "
            "ImageVolume?",
        ),
        (
            {"kdist_api_level": "1.33", "kdist_feature_gates": {"SidecarContainers": False}},
            "all: kdist_feature_gates: cannot set feature gate SidecarContainers to false",
        ),
        (
            {"kdist_feature_gates": {"ImageVolume": "on"}},
            "all: kdist_feature_gates: must be a mapping of name to true or false",
        ),
        (
            {"kdist_runtime_config": {"batch/v2": True}},
            "all: kdist_runtime_config: batch/v2: this server has no such group",
        ),
        (
            {"kdist_etcd_snapshot_schedule": "every day; please"},
            "all: kdist_etcd_snapshot_schedule: must be 'never' or a calendar event of systemd such as hourly",
        ),
        (
            {"kdist_etcd_snapshot_directory": "backups/etcd"},
            "all: kdist_etcd_snapshot_directory: must be an absolute path below /",
        ),
        (
            {"kdist_etcd_snapshot_keep": 0},
            "all: kdist_etcd_snapshot_keep: must be a whole number from 1 to 1000, not 0",
        ),
        ({"kdist_api_level": "1.99"}, "all: kdist_api_level: must be one of 1.32, 1.33, not '1.99'"),
    ],
)
def test_rules_across_values(shared: dict[str, Any], expected: str) -> None:
    assert problems(shared)[0].startswith(expected)


def test_cluster_setting_that_differs_on_one_host_is_refused() -> None:
    assert problems(w1={"kdist_max_pods": 50}) == [
        "w1: kdist_max_pods: is 50 here and None elsewhere; set it for all hosts"
    ]


def test_two_hosts_with_one_address_are_refused() -> None:
    assert problems(w1={"ansible_host": "10.0.0.1"}) == [
        "w1: kdist_node_ip: 10.0.0.1 is also the address of cp1"
    ]


def test_inventory_without_control_plane_is_refused() -> None:
    assert [str(p) for p in spec.read({}, {})[1]] == ["all: group kube_control_plane has no host"]


@pytest.mark.parametrize(("text", "seconds"), [("365d", 31536000), ("8760h", 31536000), ("90m", 5400)])
def test_lifetimes_are_durations(text: str, seconds: int) -> None:
    cluster, found = spec.read(*inventory({"kdist_certificate_lifetime": text}))
    assert found == []
    assert cluster is not None
    assert cluster.settings.certificate_lifetime == seconds


def test_lifetimes_that_make_no_sense_are_refused() -> None:
    assert problems({"kdist_certificate_lifetime": "1y", "kdist_authority_lifetime": "1m"}) == [
        "all: kdist_authority_lifetime: must be at least 60m, not 1m",
        "all: kdist_certificate_lifetime: must be a duration such as 365d, 8760h or 90m, not '1y'",
    ]
    (told,) = problems({"kdist_certificate_lifetime": "20d", "kdist_authority_lifetime": "10d"})
    assert told.startswith("all: kdist_certificate_lifetime: is longer than kdist_authority_lifetime")


def test_authorities_are_known_ones_with_two_files() -> None:
    assert problems({"kdist_authorities": {"root": {}}}) == [
        "all: kdist_authorities: unknown authority 'root'; known are ca, etcd-ca, front-proxy-ca"
    ]
    assert problems({"kdist_authorities": {"ca": {"certificate": "a.crt"}}}) == [
        "all: kdist_authorities: ca must have certificate and key, the paths of two files"
    ]


PODS2, SERVICES2 = "10.244.0.0/16,fd00:244::/56", "10.96.0.0/16,fd00:96::/112"
DUAL = {"kdist_pod_cidr": PODS2, "kdist_service_cidr": SERVICES2}
BOTH = {
    "cp1": {"kdist_node_ip": "10.0.0.1,fd00::1"},
    "w1": {"kdist_node_ip": "10.0.0.2, fd00:0::2"},
}


def test_two_networks_make_a_dual_stack_cluster() -> None:
    cluster, found = spec.read(*inventory(DUAL, **BOTH))
    assert found == []
    assert cluster
    assert cluster.is_dual
    assert cluster.dns_address == "10.96.0.10"
    assert [host.addresses for host in cluster.hosts] == [("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2")]


@pytest.mark.parametrize(
    ("shared", "reason"),
    [
        (
            {"kdist_service_cidr": "10.96.0.0/16"},
            "all: kdist_service_cidr: has no IPv6 network and kdist_pod_cidr has one: give one to both",
        ),
        (
            {"kdist_pod_cidr": "fd00:244::/56,10.244.0.0/16"},
            "all: kdist_pod_cidr: must be an IPv4 network, or an IPv4 and an IPv6 network in this order",
        ),
        (
            {"kdist_pod_cidr": "10.244.0.0/16,10.245.0.0/16"},
            "all: kdist_pod_cidr: must be an IPv4 network, or an IPv4 and an IPv6 network in this order",
        ),
        (
            {"kdist_pod_cidr": "10.244.0.0/16,fd00:96::/56"},
            "all: kdist_pod_cidr: fd00:96::/56 overlaps kdist_service_cidr fd00:96::/112",
        ),
        (
            {"kdist_pod_cidr": "10.244.0.0/16,fd00:244::/72"},
            "all: kdist_node_cidr_mask_size_ipv6: /64 is larger than kdist_pod_cidr fd00:244::/72",
        ),
        (
            {"kdist_pod_cidr": "10.244.0.0/16,fd00:244::/40"},
            "all: kdist_pod_cidr: fd00:244::/40 is too large for nodes of /64, /48 is the most",
        ),
        (
            {"kdist_service_cidr": "10.96.0.0/16,fd00:96::/126"},
            "all: kdist_service_cidr: fd00:96::/126 is too small, /124 is the least",
        ),
        (
            {"kdist_service_cidr": "10.96.0.0/16,fd00::/112"},
            "cp1: kdist_service_cidr: fd00::/112 contains the host's address fd00::1",
        ),
    ],
)
def test_networks_that_do_not_make_dual_stack_are_refused(shared: dict[str, str], reason: str) -> None:
    told = problems({**DUAL, **shared}, **BOTH)
    assert any(line.startswith(reason) for line in told), told


def test_dual_stack_needs_both_addresses_of_every_host() -> None:
    assert problems(DUAL, cp1=BOTH["cp1"]) == [
        "w1: kdist_node_ip: dual stack needs an IPv6 address of the host too: kdist_node_ip: 10.0.0.2,ADDRESS"
    ]
    assert problems(DUAL, cp1=BOTH["cp1"], w1={"kdist_node_ip": "10.0.0.2,fd00::1"}) == [
        "w1: kdist_node_ip: fd00::1 is also the address of cp1"
    ]
