from typing import Any

from kdist.controllers.endpoints import mirroring, slices, subsets
from tests.unit.controllers.builders import pod

Obj = dict[str, Any]


def service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {
        "metadata": {"name": "s", "namespace": "ns", "uid": "s", "labels": {"l": "1"}},
        "spec": {"selector": {"a": "b"}, "ports": ports, "ipFamilies": ["IPv4"], **spec},
    }


def member(name: str, ip: str, port: int = 8080, **more: Any) -> Obj:
    containers = [{"ports": [{"name": "web", "containerPort": port}]}]
    return pod(name, ip=ip, node="n", spec={"containers": containers}, **more)


def apply(svc: Obj, members: list[Obj], existing: list[Obj]) -> slices.Changes:
    return slices.reconcile(slices.of_service(svc, "t"), existing, slices.groups(svc, members, {}))


def test_named_ports_are_looked_up_in_each_pod() -> None:
    changes = apply(service(), [member("a", "10.0.0.1"), member("b", "10.0.0.2", port=9090)], [])
    assert sorted(s["ports"][0]["port"] for s in changes.create) == [8080, 9090]


def test_a_slice_that_is_right_is_left_alone() -> None:
    svc, members = service(), [member("a", "10.0.0.1"), member("b", "10.0.0.2", ready=False)]
    (made,) = apply(svc, members, []).create
    made["metadata"]["name"] = "s-1"
    changes = apply(svc, list(reversed(members)), [made])
    assert not (changes.create or changes.update or changes.delete)


def test_slices_hold_a_hundred_and_fill_up_before_new_ones_are_made() -> None:
    svc, members = service(), [member(f"p{n}", f"10.0.{n // 200}.{n % 200}") for n in range(250)]
    made = apply(svc, members, []).create
    assert sorted(len(s["endpoints"]) for s in made) == [50, 100, 100]
    more = [*members, member("late", "10.1.0.1")]
    changes = apply(svc, more, made)
    assert (len(changes.create), [len(s["endpoints"]) for s in changes.update]) == (0, [51])


def test_terminating_pods_serve_in_slices_but_are_gone_from_endpoints() -> None:
    going = member("a", "10.0.0.1", deleting=True)
    (made,) = apply(service(), [going], []).create
    assert made["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert subsets.subsets(service(), [going]) == []


def test_a_service_without_pods_has_one_empty_slice() -> None:
    (made,) = apply(service(), [], []).create
    assert (made["endpoints"], made["ports"]) == ([], [])


def test_endpoints_group_ready_and_not_ready_addresses_by_ports() -> None:
    members = [member("b", "10.0.0.2"), member("a", "10.0.0.1"), member("c", "10.0.0.3", ready=False)]
    (subset,) = subsets.subsets(service(), members)
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_endpoints_of_a_service_without_selector_are_mirrored() -> None:
    custom: Obj = {
        "metadata": {"name": "s", "namespace": "ns", "uid": "e", "labels": {"mine": "1"}},
        "subsets": [{"addresses": [{"ip": "10.1.2.3"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}],
    }
    assert mirroring.is_mirrored(service(selector=None), custom)
    assert not mirroring.is_mirrored(service(), custom)
    origin = mirroring.origin(custom)
    made = slices.reconcile(origin, [], mirroring.groups(custom)).create
    assert {s["addressType"]: s["endpoints"][0]["addresses"] for s in made} == {
        "IPv4": ["10.1.2.3"],
        "IPv6": ["fd00::1"],
    }
    assert made[0]["metadata"]["labels"]["mine"] == "1"
    assert made[0]["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    custom["subsets"][0]["addresses"] = [{"ip": "10.2.3.4"}]
    changes = slices.reconcile(origin, made, mirroring.groups(custom))
    assert [s["endpoints"][0]["addresses"] for s in changes.update] == [["10.2.3.4"]]
    assert [s["addressType"] for s in changes.delete] == ["IPv6"]
