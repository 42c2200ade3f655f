from ipaddress import IPv4Address, IPv4Network

from kdist.net import cni, hosts, masquerade, plan
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
    assert hosts.read(node) == B
    assert hosts.read(hosts.slim(node)) == B
    assert hosts.read({**node, "spec": {}}) is None
    assert hosts.read({**node, "status": {}}) is None


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
