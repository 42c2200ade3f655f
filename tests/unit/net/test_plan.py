from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from kdist.net import cni, hosts, masquerade, plan, sysctl
from kdist.net.hosts import Host
from kdist.net.plan import Neighbour, Route, Uplink

UPLINK = Uplink(2, 1500, IPv4Network("192.168.1.0/24"))


def host(name: str, address: str, pods: str) -> Host:
    return Host(name, IPv4Address(address), IPv4Network(pods))


A = host("a", "192.168.1.11", "10.244.0.0/24")
B = host("b", "192.168.1.12", "10.244.1.0/24")
FAR = host("far", "192.168.9.13", "10.244.2.0/24")


def test_hosts_on_the_same_subnet_get_plain_routes_and_no_tunnel() -> None:
    made = plan.make(A, [A, B], UPLINK, encapsulation="auto")
    assert made.routes == {Route(B.pods, B.address, tunnelled=False)}
    assert made.tunnel is None
    assert made.mtu == 1500


def test_only_hosts_of_other_subnets_go_through_the_tunnel() -> None:
    made = plan.make(A, [A, B, FAR], UPLINK, encapsulation="auto")
    assert Route(B.pods, B.address, tunnelled=False) in made.routes
    assert Route(FAR.pods, IPv4Address("10.244.2.0"), tunnelled=True) in made.routes
    assert made.tunnel
    assert made.tunnel.neighbours == {Neighbour(IPv4Address("10.244.2.0"), "0a:58:0a:f4:02:00", FAR.address)}
    assert made.tunnel.mac == "0a:58:0a:f4:00:00"
    assert made.mtu == made.tunnel.mtu == 1450


def test_without_encapsulation_hosts_of_other_subnets_are_left_to_the_network() -> None:
    made = plan.make(A, [A, B, FAR], UPLINK, encapsulation="never")
    assert {route.destination for route in made.routes} == {B.pods}
    assert plan.make(A, [A, B], UPLINK, encapsulation="always").tunnel


def test_a_host_that_claims_this_hosts_pods_gets_no_route() -> None:
    thief = host("thief", "192.168.1.66", "10.244.0.0/25")
    assert not plan.make(A, [A, thief], UPLINK, encapsulation="auto").routes


def test_a_node_without_address_or_pod_range_is_not_a_host_yet() -> None:
    node = {
        "metadata": {"name": "b"},
        "spec": {"podCIDRs": ["fd00::/64", "10.244.1.0/24"]},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "b"},
                {"type": "InternalIP", "address": "192.168.1.12"},
            ]
        },
    }
    assert hosts.read(node) == replace(B, pods6=IPv6Network("fd00::/64"))
    assert hosts.read(hosts.slim(node)) == hosts.read(node)
    assert hosts.read({**node, "spec": {}}) is None
    assert hosts.read({**node, "status": {}}) is None


def dual(plain: Host, address6: str, pods6: str) -> Host:
    return replace(plain, address6=IPv6Address(address6), pods6=IPv6Network(pods6))


UPLINK6 = Uplink(2, 1500, IPv6Network("fd00:1::/64"))
A2, B2 = dual(A, "fd00:1::11", "fd00:244::/64"), dual(B, "fd00:1::12", "fd00:244:0:1::/64")
FAR2 = dual(FAR, "fd00:9::13", "fd00:244:0:2::/64")


def test_pods_of_two_families_have_a_route_of_each() -> None:
    made = plan.make(A2, [A2, B2], UPLINK, UPLINK6, encapsulation="auto")
    assert made.routes == {
        Route(B.pods, B.address, tunnelled=False),
        Route(IPv6Network("fd00:244:0:1::/64"), IPv6Address("fd00:1::12"), tunnelled=False),
    }
    assert made.tunnel is None
    assert made.pods6 == A2.pods6


def test_one_tunnel_carries_both_families_through_link_local_gateways() -> None:
    made = plan.make(A2, [A2, FAR2], UPLINK, UPLINK6, encapsulation="auto")
    gateway = IPv6Address("fe80::858:aff:fef4:200")
    assert Route(IPv6Network("fd00:244:0:2::/64"), gateway, tunnelled=True) in made.routes
    assert made.tunnel
    assert made.tunnel.neighbours == {
        Neighbour(IPv4Address("10.244.2.0"), "0a:58:0a:f4:02:00", FAR.address, gateway)
    }


def test_each_family_is_judged_by_its_own_subnet() -> None:
    elsewhere = dual(B, "fd00:9::12", "fd00:244:0:1::/64")
    ways = {
        r.destination: r.tunnelled
        for r in plan.make(A2, [elsewhere], UPLINK, UPLINK6, encapsulation="auto").routes
    }
    assert ways == {B.pods: False, elsewhere.pods6: True}
    without = replace(A2, address6=None)
    made = plan.make(without, [B2], UPLINK, None, encapsulation="auto")
    assert {r.tunnelled for r in made.routes if r.destination.version == 6} == {True}
    made = plan.make(A2, [elsewhere], UPLINK, UPLINK6, encapsulation="never")
    assert {r.destination for r in made.routes} == {B.pods}


def test_a_host_without_a_second_range_is_reached_by_ipv4_alone() -> None:
    for own, peer in ((A, B2), (A2, B)):
        made = plan.make(own, [own, peer], UPLINK, UPLINK6, encapsulation="always")
        assert {r.destination.version for r in made.routes} == {4}
        assert made.tunnel
        assert {n.overlay6 for n in made.tunnel.neighbours} == {None}


def test_masquerade_has_a_table_of_each_family() -> None:
    assert A2.pods6
    text = masquerade.ruleset(A2.pods6, ["10.244.0.0/16", "fd00:244::/56"])
    assert "table ip6 kdist-net" in text
    assert "ip6 saddr != fd00:244::/64 return" in text
    assert "ip6 daddr { fd00:244::/56, ff00::/8 } return" in text


def test_pods_get_an_address_of_each_range() -> None:
    ranges = cni.conflist(A.pods, 1500, A2.pods6)["plugins"][0]["ipam"]["ranges"]
    assert ranges == [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:244::/64"}]]
    assert cni.conflist(A.pods, 1500)["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]


def test_a_host_keeps_learning_its_default_route_while_it_forwards(tmp_path: Path) -> None:
    settings = tmp_path / "net/ipv6/conf"
    for interface, value in (("eth0", "1"), ("eth1", "0"), ("bond0.7", "1")):
        (settings / interface).mkdir(parents=True)
        (settings / interface / "accept_ra").write_text(f"{value}\n")
        assert sysctl.keep_advertised_routes(interface, tmp_path) == {}
    kept = {i: (settings / i / "accept_ra").read_text().strip() for i in ("eth0", "eth1", "bond0.7")}
    assert kept == {"eth0": "2", "eth1": "0", "bond0.7": "2"}
    assert sysctl.keep_advertised_routes("gone", tmp_path) == {
        "net/ipv6/conf/gone/accept_ra": "No such file or directory"
    }


def test_masquerade_spares_the_pods_of_the_whole_cluster() -> None:
    text = masquerade.ruleset(A.pods, ["10.244.0.0/16", "fd00::/48"])
    assert "ip saddr != 10.244.0.0/24 return" in text
    assert "ip daddr { 10.244.0.0/16, 224.0.0.0/4 } return" in text


def test_the_cni_configuration_is_written_once_and_whole(tmp_path) -> None:  # type: ignore[no-untyped-def]
    content = cni.conflist(A.pods, 1450)
    assert [plugin["type"] for plugin in content["plugins"]] == ["bridge", "portmap"]
    assert cni.write(tmp_path / "net.d", content)
    assert not cni.write(tmp_path / "net.d", content)
    assert [p.name for p in (tmp_path / "net.d").iterdir()] == ["10-kdist.conflist"]
