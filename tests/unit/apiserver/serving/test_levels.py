"""Servers of two API levels on the same storage, and what the newer level serves by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kdist.storage.memory import MemoryStorage
from tests.unit.apiserver.serving.conftest import Api, served

MERGE = {"content-type": "application/merge-patch+json"}
JSON = {"content-type": "application/json"}


class _Shared(MemoryStorage):
    """Outlives the server that stops first, as etcd does."""

    async def close(self) -> None:
        pass


@pytest.fixture
async def levels() -> AsyncIterator[tuple[Api, Api]]:
    """A server of 1.32 and one of 1.33."""
    storage = _Shared()
    gates = ("ContainerStopSignals=true",)
    async with (
        served(storage, api_level="1.33", feature_gates=gates) as newer,
        served(storage, api_level="1.32") as older,
    ):
        yield older, newer


def deployment(name: str, **pod: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "a", "image": "a"}], **pod},
    }
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }


DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SERVICES = "/api/v1/namespaces/default/services"
STOP = [{"name": "a", "image": "a", "lifecycle": {"stopSignal": "SIGUSR1"}}]


def pod_of(obj: Any) -> Any:
    return obj["spec"]["template"]["spec"]


def signal_of(obj: Any) -> Any:
    return (pod_of(obj)["containers"][0].get("lifecycle") or {}).get("stopSignal")


async def eventually(check: Any, what: str) -> Any:
    """The first true answer of an asynchronous check."""
    async with asyncio.timeout(10):
        answer = await check()
        while not answer:
            answer = await check()
    assert answer, what
    return answer


async def test_the_older_level_reads_what_the_newer_one_wrote(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    await newer.make(DEPLOYMENTS, deployment("a", hostUsers=False, containers=STOP))
    read = (await older("GET", f"{DEPLOYMENTS}/a")).json
    assert pod_of(read)["hostUsers"] is False and signal_of(read) == "SIGUSR1"


async def test_a_patch_through_the_older_level_loses_what_that_does_not_know(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    await newer.make(DEPLOYMENTS, deployment("a", hostUsers=False, containers=STOP))
    answer = await older("PATCH", f"{DEPLOYMENTS}/a", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    assert answer.status == 200
    read = (await newer("GET", f"{DEPLOYMENTS}/a")).json
    assert read["metadata"]["labels"] == {"x": "y"}
    assert pod_of(read)["hostUsers"] is False and signal_of(read) is None


async def test_a_status_through_the_older_level_leaves_the_spec_alone(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    made = await newer.make(DEPLOYMENTS, deployment("a", containers=STOP))
    answer = await older("PUT", f"{DEPLOYMENTS}/a/status", {**made, "status": {"replicas": 1}}, JSON)
    assert answer.status == 200 and answer.json["status"]["replicas"] == 1
    assert signal_of((await newer("GET", f"{DEPLOYMENTS}/a")).json) == "SIGUSR1"


async def test_a_put_through_the_older_level_loses_what_that_does_not_know(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    await newer.make(DEPLOYMENTS, deployment("a", hostUsers=False, containers=STOP))
    read = (await older("GET", f"{DEPLOYMENTS}/a")).json
    strict = await older("PUT", f"{DEPLOYMENTS}/a?fieldValidation=Strict", read, JSON)
    assert strict.status == 400 and "stopSignal" in strict.json["message"]
    answer = await older("PUT", f"{DEPLOYMENTS}/a", read, JSON)
    assert answer.status == 200 and "stopSignal" in answer.headers["warning"]
    after = (await newer("GET", f"{DEPLOYMENTS}/a")).json
    assert signal_of(after) is None
    assert pod_of(after)["hostUsers"] is False  # in use: a gate does not take it away


async def test_a_guarded_field_is_not_taken_up_by_the_older_level(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    await older.make(DEPLOYMENTS, deployment("a", hostUsers=False))
    assert "hostUsers" not in pod_of((await newer("GET", f"{DEPLOYMENTS}/a")).json)


async def test_resources_of_the_newer_level_wait_in_storage(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    await newer.make(RANGES, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
    assert (await older("GET", RANGES)).status == 404
    groups = (await older("GET", "/apis/networking.k8s.io/v1")).json["resources"]
    assert "servicecidrs" not in {row["name"] for row in groups}
    assert (await newer("GET", f"{RANGES}/more")).status == 200


async def test_an_address_given_by_the_older_level_is_taken_for_the_newer_one(
    levels: tuple[Api, Api],
) -> None:
    older, newer = levels
    await older.make(
        SERVICES, {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 1}]}}
    )
    refused = await newer(
        "POST",
        SERVICES,
        {"metadata": {"name": "b"}, "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 1}]}},
        JSON,
    )
    assert refused.status == 422 and "already allocated" in refused.json["message"]


async def test_a_version_tells_the_level(levels: tuple[Api, Api]) -> None:
    told = [(await api("GET", "/version")).json["minor"] for api in levels]
    assert told == ["32", "33"]
    newer = (await levels[1]("GET", "/version")).json
    assert (newer["emulationMinor"], newer["minCompatibilityMinor"]) == ("33", "32")


async def test_services_have_addresses_as_objects_from_the_newer_level_on(levels: tuple[Api, Api]) -> None:
    _, newer = levels
    made = await newer.make(SERVICES, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}})
    address = made["spec"]["clusterIP"]
    held = (await newer("GET", f"{ADDRESSES}/{address}")).json
    assert held["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "a"}
    assert held["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io"
    await newer("DELETE", f"{SERVICES}/a")
    assert (await newer("GET", f"{ADDRESSES}/{address}")).status == 404


async def test_the_default_range_is_there_and_ready(levels: tuple[Api, Api]) -> None:
    _, newer = levels

    async def ready() -> Any:
        found = (await newer("GET", f"{RANGES}/kubernetes")).json
        return [c["status"] for c in (found.get("status") or {}).get("conditions", [])] == ["True"] and found

    found = await eventually(ready, "the default range is ready")
    assert found["spec"]["cidrs"] == ["10.96.0.0/16"]


async def test_a_further_range_gives_addresses_and_stays_while_they_are_in_use(
    levels: tuple[Api, Api],
) -> None:
    _, newer = levels
    await newer.make(RANGES, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
    service = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.97.0.9", "ports": [{"port": 1}]}}

    async def created() -> bool:
        return (await newer("POST", SERVICES, service, JSON)).status == 201

    await eventually(created, "an address of the new range")
    await newer("DELETE", f"{RANGES}/more")

    async def told() -> bool:
        conditions = (await newer("GET", f"{RANGES}/more")).json["status"]["conditions"]
        return [c["reason"] for c in conditions] == ["Terminating"]

    await eventually(told, "the reason why it stays")


@pytest.mark.parametrize(
    ("cidrs", "told"),
    [
        ([], "at least one CIDR required"),
        (["10.0.0.1/24"], "wrong CIDR format"),
        (["10.0.0.0/24", "10.1.0.0/24"], "no more than one IP for each IP family"),
        (["nonsense"], "netip.ParsePrefix"),
    ],
)
async def test_wrong_ranges_are_refused(levels: tuple[Api, Api], cidrs: list[str], told: str) -> None:
    answer = await levels[1]("POST", RANGES, {"metadata": {"name": "x"}, "spec": {"cidrs": cidrs}}, JSON)
    assert answer.status == 422 and told in answer.json["message"]


async def test_the_newer_level_warns_of_endpoints(levels: tuple[Api, Api]) -> None:
    older, newer = levels
    told = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    path = "/api/v1/namespaces/default/endpoints"
    assert told in (await newer("GET", path)).headers["warning"]
    assert "warning" not in (await older("GET", path)).headers


async def test_a_resize_stays_within_the_bounds_of_its_namespace(levels: tuple[Api, Api]) -> None:
    _, newer = levels
    bounds = {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}
    pods = "/api/v1/namespaces/default/pods"
    await newer.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    await newer.make("/api/v1/namespaces/default/limitranges", bounds)

    def asking(cpu: str) -> dict[str, Any]:
        resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": cpu}}
        return {
            "metadata": {"name": "r"},
            "spec": {"containers": [{"name": "a", "image": "a", "resources": resources}]},
        }

    await newer.make(pods, asking("1"))
    refused = await newer("PATCH", f"{pods}/r/resize", asking("2"), MERGE)
    assert refused.status == 403 and "maximum cpu usage per Container is 1, but limit is 2" in str(
        refused.body
    )
