from typing import Any

from kdist.dns import config, records
from kdist.dns.zone import Difference, Zone

DOMAIN = "cluster.local"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "demo"}, "spec": spec}


def slice_of(*endpoints: dict[str, Any]) -> dict[str, Any]:
    ports = [{"name": "sql", "port": 5432, "protocol": "TCP"}]
    return {"addressType": "IPv4", "ports": ports, "endpoints": list(endpoints)}


def of(obj: dict[str, Any], *slices: dict[str, Any]) -> dict[str, set[str]]:
    return dict(records.of_service(obj, slices, DOMAIN).values)


def test_a_service_has_its_addresses_named_ports_and_reverse_names() -> None:
    ports = [{"name": "http", "port": 80}, {"port": 81}]
    obj = service(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7", "fd00::7"], ports=ports)
    reverse = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa."
    assert of(obj) == {
        "web.demo.svc.cluster.local.": {"A 10.96.0.7", "AAAA fd00::7"},
        "_http._tcp.web.demo.svc.cluster.local.": {"SRV 0 100 80 web.demo.svc.cluster.local."},
        "7.0.96.10.in-addr.arpa.": {"PTR web.demo.svc.cluster.local."},
        reverse: {"PTR web.demo.svc.cluster.local."},
    }


def test_a_headless_service_has_its_ready_endpoints_by_hostname_or_address() -> None:
    endpoints = slice_of(
        {"addresses": ["10.244.1.7"], "hostname": "db-0"},
        {"addresses": ["10.244.1.8"], "conditions": {"ready": True}},
        {"addresses": ["10.244.1.9"], "conditions": {"ready": False}},
    )
    found = of(service("db", clusterIP="None"), endpoints)
    assert found["db.demo.svc.cluster.local."] == {"A 10.244.1.7", "A 10.244.1.8"}
    assert found["db-0.db.demo.svc.cluster.local."] == {"A 10.244.1.7"}
    assert found["10-244-1-8.db.demo.svc.cluster.local."] == {"A 10.244.1.8"}
    assert found["_sql._tcp.db.demo.svc.cluster.local."] == {
        "SRV 0 100 5432 db-0.db.demo.svc.cluster.local.",
        "SRV 0 100 5432 10-244-1-8.db.demo.svc.cluster.local.",
    }
    assert found["7.1.244.10.in-addr.arpa."] == {"PTR db-0.db.demo.svc.cluster.local."}


def test_a_pod_has_a_name_made_of_its_address() -> None:
    pod = {"metadata": {"name": "p", "namespace": "demo"}, "status": {"podIPs": [{"ip": "10.244.1.7"}]}}
    assert dict(records.of_pod(pod, DOMAIN).values) == {
        "10-244-1-7.demo.pod.cluster.local.": {"A 10.244.1.7"}
    }


def external(name: str, target: str) -> records.Records:
    return records.of_service(service(name, type="ExternalName", externalName=target), [], DOMAIN)


def test_an_alias_inside_the_zone_follows_the_addresses_of_its_target() -> None:
    zone = Zone(DOMAIN)
    zone.replace("service/demo/inner", external("inner", "web.demo.svc.cluster.local"))
    zone.replace("service/demo/web", records.of_service(service(clusterIP="10.96.0.7"), [], DOMAIN))
    assert zone.difference().added["inner.demo.svc.cluster.local."] == ("A 10.96.0.7",)
    zone.replace("service/demo/web", None)
    assert "inner.demo.svc.cluster.local." in zone.difference().removed


def test_aliases_that_point_at_each_other_have_no_addresses() -> None:
    zone = Zone(DOMAIN)
    zone.replace("service/demo/a", external("a", "b.demo.svc.cluster.local"))
    zone.replace("service/demo/b", external("b", "a.demo.svc.cluster.local"))
    assert zone.difference() == Difference((), {})


def test_an_alias_for_an_outside_name_is_left_to_the_server() -> None:
    zone = Zone(DOMAIN)
    zone.replace("service/demo/ext", external("ext", "WWW.example.com"))
    aliases = zone.external_aliases()
    assert aliases == {"ext.demo.svc.cluster.local.": "www.example.com."}
    assert 'local-zone: "ext.demo.svc.cluster.local." redirect' in config.records(
        DOMAIN, {}, aliases, follow=True
    )
    assert "redirect" not in config.records(DOMAIN, {}, aliases, follow=False)


def test_only_a_name_that_loses_a_value_is_emptied() -> None:
    zone = Zone(DOMAIN)
    name = "n.demo.svc.cluster.local."

    def have(*addresses: str) -> Difference:
        made = records.Records()
        made.values[name].update(f"A {address}" for address in addresses)
        zone.replace("service/demo/n", made)
        return zone.difference()

    assert have("10.0.0.1") == Difference((), {name: ("A 10.0.0.1",)})
    assert have("10.0.0.1", "10.0.0.2") == Difference((), {name: ("A 10.0.0.2",)})
    assert have("10.0.0.2") == Difference((name,), {name: ("A 10.0.0.2",)})
    assert have("10.0.0.2") == Difference((), {})


def test_reverse_names_of_an_address_behind_two_services_are_joined() -> None:
    zone = Zone(DOMAIN)
    for name in ("a", "b"):
        endpoints = slice_of({"addresses": ["10.244.1.7"], "hostname": "x"})
        zone.replace(name, records.of_service(service(name, clusterIP="None"), [endpoints], DOMAIN))
    assert len(zone.everything()["7.1.244.10.in-addr.arpa."]) == 2
    zone.replace("a", None)
    assert zone.difference().added["7.1.244.10.in-addr.arpa."] == ("PTR x.b.demo.svc.cluster.local.",)


def test_resolvers_of_the_host_itself_are_left_out() -> None:
    text = "search example.com\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # site\nnameserver 192.0.2.53\n"
    assert config.forwarders(text) == (("192.0.2.53",), ("127.0.0.53",))
