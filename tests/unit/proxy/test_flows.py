from kdist.proxy import affinity, conntrack
from kdist.proxy.affinity import Entry
from kdist.proxy.conntrack import Flow
from kdist.proxy.endpoints import Backend

DNS = Backend("10.96.0.10", 53)
POD, OLD_POD = Backend("10.244.1.1", 53), Backend("10.244.9.9", 53)


def test_flows_to_endpoints_that_are_gone_are_stale() -> None:
    flows = [Flow(DNS, POD), Flow(DNS, OLD_POD), Flow(Backend("192.0.2.1", 53), Backend("192.0.2.1", 53))]
    assert conntrack.stale(flows, {("10.96.0.10", 53): frozenset([POD])}) == [flows[1]]


def test_an_untranslated_flow_is_stale_once_the_service_has_endpoints() -> None:
    flow = Flow(DNS, DNS)
    assert conntrack.stale([flow], {("10.96.0.10", 53): frozenset([POD])}) == [flow]


def test_flows_of_strangers_to_the_number_of_a_node_port_are_left_alone() -> None:
    stranger = Flow(Backend("192.0.2.1", 30053), Backend("192.0.2.1", 30053))
    translated = Flow(Backend("10.0.0.1", 30053), OLD_POD)
    assert conntrack.stale([stranger, translated], {(None, 30053): frozenset([POD])}) == [translated]


def test_clients_of_vanished_endpoints_lose_their_affinity() -> None:
    key = {"elem": {"val": {"concat": ["10.244.3.3", "10.96.0.10", 53]}, "timeout": 10, "expires": 4}}
    entries = affinity.parse("udp", [[key, {"concat": ["10.244.9.9", 53]}]])
    assert entries == [Entry("udp", "10.244.3.3", "10.96.0.10", 53, OLD_POD, 10, 4)]
    assert affinity.stale(entries, {"10.96.0.10 . udp . 53": frozenset([POD])}) == entries
    assert affinity.stale(entries, {"10.96.0.10 . udp . 53": frozenset([OLD_POD])}) == []
