from typing import Any

from kdist.proxy import services
from kdist.proxy.endpoints import Backend, arrange
from kdist.proxy.family import IPV4
from kdist.proxy.plan import ServicePlan, plan


def service(**spec: Any) -> dict[str, Any]:
    base = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"metadata": {"name": "web", "namespace": "demo"}, "spec": {**base, **spec}}


def endpoint(address: str, node: str = "other", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def slice_of(*endpoints: dict[str, Any]) -> dict[str, Any]:
    ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
    return {"addressType": "IPv4", "ports": ports, "endpoints": list(endpoints)}


def planned(obj: dict[str, Any], *endpoints: dict[str, Any]) -> ServicePlan:
    read = services.read(obj, IPV4)
    assert read
    return plan(read, [slice_of(*endpoints)], IPV4, "here")


def reached(made: ServicePlan) -> set[str]:
    return set(made.elements.get("endpoints-tcp", {}).values())


def test_headless_and_external_name_services_are_nothing_to_the_proxy() -> None:
    assert services.read(service(clusterIP="None", clusterIPs=["None"]), IPV4) is None
    assert services.read({"metadata": {"name": "x"}, "spec": {"type": "ExternalName"}}, IPV4) is None


def test_a_cluster_ip_leads_to_every_ready_endpoint_by_index() -> None:
    made = planned(
        service(), endpoint("10.244.1.1"), endpoint("10.244.1.2"), endpoint("10.244.1.3", ready=False)
    )
    assert made.elements["endpoints-tcp"] == {
        "10.96.0.1 . 80 . 0": "10.244.1.1 . 8080",
        "10.96.0.1 . 80 . 1": "10.244.1.2 . 8080",
    }
    assert made.elements["services"] == {"10.96.0.1 . tcp . 80": "goto pick-tcp-ip-any-2-outsiders"}


def test_terminating_endpoints_serve_only_when_nothing_is_ready() -> None:
    leaving = endpoint("10.244.1.9", ready=False, serving=True, terminating=True)
    assert reached(planned(service(), leaving, endpoint("10.244.1.1"))) == {"10.244.1.1 . 8080"}
    assert reached(planned(service(), leaving)) == {"10.244.1.9 . 8080"}


def test_a_service_without_endpoints_is_refused_on_every_address() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    made = planned(service(type="NodePort", ports=ports, externalIPs=["192.0.2.1"]))
    assert set(made.elements["cluster-ips"]) == {"10.96.0.1"}
    assert set(made.elements["refused"]) == {"192.0.2.1 . tcp . 80"}
    assert set(made.elements["refused-ports"]) == {"tcp . 30080"}
    assert "services" not in made.elements


def test_external_local_policy_keeps_outsiders_on_this_node() -> None:
    obj = service(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30080}])
    made = planned(obj, endpoint("10.244.1.1", node="here"), endpoint("10.244.2.1"))
    verdict = made.elements["node-ports"]["tcp . 30080"]
    assert verdict == "goto split-pick-tcp-port-any-2-never-pick-tcp-port-local-1-never"
    assert made.elements["node-port-endpoints-tcp"]["30080 . 65536"] == "10.244.1.1 . 8080"
    split = next(chain for chain in made.chains if f"goto {chain.name}" == verdict)
    assert list(split.rules("ip", ["10.244.0.0/16"]))[-1] == "goto pick-tcp-port-local-1-never"

    elsewhere = planned(obj, endpoint("10.244.2.1"))
    verdict = elsewhere.elements["node-ports"]["tcp . 30080"]
    split = next(chain for chain in elsewhere.chains if f"goto {chain.name}" == verdict)
    assert list(split.rules("ip", ["10.244.0.0/16"]))[-1] == "drop"


def test_internal_local_policy_never_leaves_this_node() -> None:
    obj = service(internalTrafficPolicy="Local")
    made = planned(obj, endpoint("10.244.1.1", node="here"), endpoint("10.244.2.1"))
    assert reached(made) == {"10.244.1.1 . 8080"}
    assert planned(obj, endpoint("10.244.2.1")).elements["services"] == {"10.96.0.1 . tcp . 80": "drop"}


def test_load_balancer_addresses_count_unless_the_balancer_is_a_proxy() -> None:
    obj = service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24"])
    obj["status"] = {
        "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}]}
    }
    made = planned(obj, endpoint("10.244.1.1"))
    assert set(made.elements["services"]) == {"10.96.0.1 . tcp . 80", "203.0.113.1 . tcp . 80"}
    assert set(made.elements["sources"]) == {"203.0.113.1 . tcp . 80 . 192.0.2.0/24"}


def test_session_affinity_remembers_clients_for_the_services_own_time() -> None:
    obj = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 7}})
    made = planned(obj, endpoint("10.244.1.1"))
    assert made.elements["affine"] == {"10.96.0.1 . tcp . 80": "goto remember-tcp-7"}
    assert made.elements["services"]["10.96.0.1 . tcp . 80"].endswith("-affine")


def test_endpoints_keep_their_index_when_others_come_and_go() -> None:
    a, b, c, d = (Backend(f"10.244.1.{n}", 80) for n in range(4))
    assert arrange(frozenset([a, b, c])) == (a, b, c)
    assert arrange(frozenset([b, c, d]), (a, b, c)) == (d, b, c)
    assert arrange(frozenset([b, c]), (a, b, c)) == (c, b)
    assert arrange(frozenset(), (a, b)) == ()
