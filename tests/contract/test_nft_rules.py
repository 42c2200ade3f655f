"""What the proxy's rules do to real packets: a node, two pods and an outside client in network namespaces."""

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kdist.proxy.family import IPV4, IPV6, Family
from kdist.proxy.nft import LibNftables
from kdist.proxy.rules import Rules

from .nft_namespaces import Site

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

VIP, PORT = "10.96.0.1", 80
POD_A, POD_B = "10.244.1.2", "10.244.1.3"
VIP6 = "fd00:96::1"
POD_A6, POD_B6 = "fd00:244::2", "fd00:244::3"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site(f"kd{os.getpid()}")
    for pod in made.pods.values():
        pod.serve(8080)
        pod.serve(8080, socket.SOCK_DGRAM)
        pod.serve(8080, address="::")
    yield made
    made.remove()


class Proxy:
    def __init__(self, site: Site, family: Family = IPV4) -> None:
        self.site, self.family = site, family
        self.vip = VIP if family is IPV4 else VIP6
        pods = ["10.244.0.0/16", "fd00:244::/56"]
        self.rules: Rules = site.node.call(lambda: Rules(LibNftables(), family, "node", pods))
        site.node.call(self.rules.rewrite)

    def have(
        self,
        *addresses: str,
        protocol: str = "TCP",
        local: bool = True,
        ingress: Sequence[str] = (),
        **spec: Any,
    ) -> None:
        port = {"port": PORT, "protocol": protocol, "nodePort": 30080}
        obj = {
            "metadata": {"name": "web", "namespace": "demo"},
            "spec": {
                "clusterIP": self.vip,
                "clusterIPs": [self.vip],
                "type": "NodePort",
                "ports": [port],
                **spec,
            },
            "status": {"loadBalancer": {"ingress": [{"ip": address} for address in ingress]}},
        }
        node = "node" if local else "elsewhere"
        endpoints = [{"addresses": [address], "nodeName": node} for address in addresses]
        ports = [{"name": "", "port": 8080, "protocol": protocol}]
        slice_ = {"addressType": self.family.address_type, "ports": ports, "endpoints": endpoints}
        self.rules.plan("demo/web", obj, [slice_])
        self.site.node.call(self.rules.apply)


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    made = Proxy(site)
    yield made
    made.rules.close()


def test_connections_are_spread_over_all_endpoints(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A, POD_B)
    assert {site.node.ask(VIP, PORT)[0] for _ in range(40)} == {"a", "b"}
    assert {site.pods["a"].ask(VIP, PORT)[0] for _ in range(40)} == {"a", "b"}


def test_a_pod_reaches_itself_through_its_service(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A)
    assert site.pods["a"].ask(VIP, PORT)[0] == "a"
    assert site.pods["b"].ask(VIP, PORT) == ("a", POD_B)


def test_services_of_ipv6_answer_beside_those_of_ipv4(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A)
    proxy6 = Proxy(site, IPV6)
    proxy6.have(POD_A6, POD_B6)
    assert {site.node.ask(VIP6, PORT)[0] for _ in range(40)} == {"a", "b"}
    assert {site.pods["a"].ask(VIP6, PORT)[0] for _ in range(40)} == {"a", "b"}
    proxy6.have(POD_A6)
    assert site.pods["a"].ask(VIP6, PORT)[0] == "a"
    assert site.pods["b"].ask(VIP6, PORT) == ("a", POD_B6)
    assert site.client.ask("fd00:9::1", 30080) == ("a", "fd00:244::1")
    proxy6.have(POD_A6, externalTrafficPolicy="Local")
    assert site.client.ask("fd00:9::1", 30080) == ("a", "fd00:9::2")
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    proxy6.have(POD_A6, POD_B6, **affinity)
    assert len({site.client.ask("fd00:9::1", 30080)[0] for _ in range(20)}) == 1
    for ranges, answered in ((["fd00:9::/64"], True), (["fd00:8::/64", "10.9.0.0/24"], False)):
        balanced = {"type": "LoadBalancer", "loadBalancerSourceRanges": ranges}
        proxy6.have(POD_A6, ingress=["fd00:ff::9"], **balanced)
        if answered:
            assert site.client.ask("fd00:ff::9", PORT)[0] == "a"
    with pytest.raises(TimeoutError):
        site.client.ask("fd00:ff::9", PORT)
    proxy6.have()
    for space, address, port in (
        (site.node, VIP6, PORT),
        (site.pods["a"], VIP6, PORT),
        (site.client, "fd00:9::1", 30080),
    ):
        with pytest.raises(ConnectionRefusedError):
            space.ask(address, port)
    assert site.client.ask("10.9.0.1", 30080) == ("a", "10.244.1.1")
    assert site.node.call(proxy6.rules.is_intact)
    assert site.node.call(proxy.rules.is_intact)
    proxy6.rules.close()


def test_a_node_port_answers_outsiders_the_node_itself_and_loopback(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A)
    assert site.client.ask("10.9.0.1", 30080) == ("a", "10.244.1.1")
    assert site.node.ask("10.9.0.1", 30080)[0] == "a"
    assert site.node.ask("127.0.0.1", 30080)[0] == "a"


def test_external_local_policy_keeps_the_clients_address_and_drops_without_local_endpoints(
    site: Site, proxy: Proxy
) -> None:
    proxy.have(POD_A, externalTrafficPolicy="Local")
    assert site.client.ask("10.9.0.1", 30080) == ("a", "10.9.0.2")
    proxy.have(POD_A, local=False, externalTrafficPolicy="Local")
    with pytest.raises(TimeoutError):
        site.client.ask("10.9.0.1", 30080)
    assert site.pods["b"].ask("10.9.0.1", 30080)[0] == "a"
    assert site.node.ask("10.9.0.1", 30080)[0] == "a"


def test_without_endpoints_connections_are_refused_at_once(site: Site, proxy: Proxy) -> None:
    proxy.have()
    for space, address, port in (
        (site.node, VIP, PORT),
        (site.pods["a"], VIP, PORT),
        (site.client, "10.9.0.1", 30080),
    ):
        with pytest.raises(ConnectionRefusedError):
            space.ask(address, port)


def test_affinity_holds_for_its_time_and_moves_away_from_a_vanished_endpoint(
    site: Site, proxy: Proxy
) -> None:
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    proxy.have(POD_A, POD_B, **affinity)
    first = {site.client.ask("10.9.0.1", 30080)[0] for _ in range(20)}
    assert len(first) == 1
    site.node.call(proxy.rules.rewrite)
    assert {site.client.ask("10.9.0.1", 30080)[0] for _ in range(20)} == first
    other = {"a": (POD_B, "b"), "b": (POD_A, "a")}[first.pop()]
    proxy.have(other[0], **affinity)
    assert {site.client.ask("10.9.0.1", 30080)[0] for _ in range(5)} == {other[1]}


def test_load_balancer_source_ranges_keep_others_out(site: Site, proxy: Proxy) -> None:
    for ranges in (["10.9.0.0/24"], ["192.0.2.0/24", "10.9.1.0/24"]):
        proxy.have(POD_A, type="LoadBalancer", loadBalancerSourceRanges=ranges, ingress=["10.9.9.9"])
        if "10.9.0.0/24" in ranges:
            assert site.client.ask("10.9.9.9", PORT)[0] == "a"
    with pytest.raises(TimeoutError):
        site.client.ask("10.9.9.9", PORT)
    assert site.client.ask("10.9.0.1", 30080)[0] == "a"


def test_a_udp_client_follows_when_its_endpoint_is_replaced(site: Site, proxy: Proxy) -> None:
    def ask(client: socket.socket) -> str:
        client.sendto(b"?", (VIP, PORT))
        return client.recv(100).decode().partition(" ")[0]

    client = site.pods["b"].call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(2)
    proxy.have(POD_A, protocol="UDP")
    assert ask(client) == "a"
    proxy.have(POD_B, protocol="UDP")
    assert ask(client) == "b"
    client.close()


def test_a_rewrite_keeps_established_connections(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A)
    listener = site.pods["a"].call(socket.create_server, ("0.0.0.0", 8081))
    listener.settimeout(2)
    proxy.rules.plan("demo/web", None, [])
    endpoint = {"addresses": [POD_A], "nodeName": "node"}
    obj = {
        "metadata": {"name": "long", "namespace": "demo"},
        "spec": {"clusterIP": VIP, "ports": [{"port": PORT, "protocol": "TCP"}]},
    }
    ports = [{"name": "", "port": 8081, "protocol": "TCP"}]
    proxy.rules.plan("demo/long", obj, [{"addressType": "IPv4", "ports": ports, "endpoints": [endpoint]}])
    site.node.call(proxy.rules.apply)
    client = site.pods["b"].call(socket.create_connection, (VIP, PORT), 2)
    served, _ = listener.accept()
    site.node.call(proxy.rules.rewrite)
    client.sendall(b"still here")
    assert served.recv(100) == b"still here"
    for used in (client, served, listener):
        used.close()


def test_a_table_removed_by_somebody_else_is_noticed(site: Site, proxy: Proxy) -> None:
    proxy.have(POD_A)
    assert site.node.call(proxy.rules.is_intact)
    stranger = site.node.call(LibNftables)
    site.node.call(stranger.run, "add table ip somebody; delete table ip somebody")
    assert site.node.call(proxy.rules.is_intact)
    site.node.call(stranger.run, "flush ruleset")
    stranger.close()
    assert not site.node.call(proxy.rules.is_intact)
    site.node.call(proxy.rules.rewrite)
    assert site.node.ask(VIP, PORT)[0] == "a"
