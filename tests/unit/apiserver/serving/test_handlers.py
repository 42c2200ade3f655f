"""The verbs on resources, through the whole server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kdist.apiserver import objectmeta

from .conftest import Api

N = "/api/v1/namespaces/default"
CMS = f"{N}/configmaps"
MERGE = {"content-type": "application/merge-patch+json"}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def cm(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "p", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


async def test_a_created_object_has_identity_and_is_found_again(api: Api) -> None:
    made = await api.make(CMS, cm("a", x="1"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert (await api("GET", f"{CMS}/a")).json == made


async def test_a_generated_name_is_unique(api: Api) -> None:
    made = [await api.make(CMS, {"metadata": {"generateName": "a-"}}) for _ in range(3)]
    assert len({m["metadata"]["name"] for m in made}) == 3


async def test_a_generated_name_that_stays_taken_is_to_be_tried_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(prefix: str) -> str:
        drawn.append(prefix)
        return f"{prefix}same"

    monkeypatch.setattr(objectmeta, "generate_name", draw)
    await api.make(CMS, {"metadata": {"generateName": "a-"}})
    answer = await api("POST", CMS, {"metadata": {"generateName": "a-"}})
    assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")
    assert answer.json["details"]["retryAfterSeconds"] == 1
    assert "was not able to generate a unique name" in answer.json["message"]
    assert len(drawn) == 1 + 8  # as often as upstream tries


async def test_a_second_object_of_a_name_is_refused(api: Api) -> None:
    await api.make(CMS, cm("a"))
    answer = await api("POST", CMS, cm("a"))
    assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")


async def test_a_dry_run_of_what_is_there_is_refused(api: Api) -> None:
    await api.make(CMS, cm("a"))
    assert (await api("POST", f"{CMS}?dryRun=All", cm("a"))).status == 409


async def test_a_dry_run_stores_nothing(api: Api) -> None:
    assert (await api("POST", f"{CMS}?dryRun=All", cm("a"))).status == 201
    assert (await api("GET", f"{CMS}/a")).status == 404


async def test_an_update_needs_the_newest_resource_version(api: Api) -> None:
    made = await api.make(CMS, cm("a"))
    assert (await api("PUT", f"{CMS}/a", {**made, "data": {"x": "1"}})).status == 200
    stale = await api("PUT", f"{CMS}/a", {**made, "data": {"x": "2"}})
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")


async def test_an_update_without_change_keeps_the_resource_version(api: Api) -> None:
    made = await api.make(CMS, cm("a", x="1"))
    again = (await api("PATCH", f"{CMS}/a", {"data": {"x": "1"}}, MERGE)).json
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_concurrent_patches_all_arrive(api: Api) -> None:
    await api.make(CMS, cm("a"))
    patches = (api("PATCH", f"{CMS}/a", {"data": {f"k{n}": "v"}}, MERGE) for n in range(10))
    assert {answer.status for answer in await asyncio.gather(*patches)} == {200}
    assert len((await api("GET", f"{CMS}/a")).json["data"]) == 10


async def test_pages_show_one_moment_although_objects_come_and_go(api: Api) -> None:
    for name in "abc":
        await api.make(CMS, cm(name))
    first = (await api("GET", f"{CMS}?limit=2")).json
    assert first["metadata"]["remainingItemCount"] == 1
    await api.make(CMS, cm("d"))
    await api("DELETE", f"{CMS}/c")
    token = first["metadata"]["continue"]
    rest = (await api("GET", f"{CMS}?limit=2&continue={token}")).json
    assert [i["metadata"]["name"] for i in rest["items"]] == ["c"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_after_a_compaction_a_page_comes_only_from_the_newest_state_and_by_consent(api: Api) -> None:
    for name in "abc":
        await api.make(CMS, cm(name))
    token = (await api("GET", f"{CMS}?limit=1")).json["metadata"]["continue"]
    core = api.server.core
    core.compacted = await core.storage.current_revision() + 1  # though nothing has changed since
    refused = await api("GET", f"{CMS}?limit=1&continue={token}")
    assert refused.status == 410
    consent = refused.json["metadata"]["continue"]
    rest = (await api("GET", f"{CMS}?continue={consent}")).json
    assert [i["metadata"]["name"] for i in rest["items"]] == ["b", "c"]


async def test_selectors_choose_by_label_and_field(api: Api) -> None:
    for name in "ab":
        await api.make(f"{N}/pods", pod(name, app=name))
    for query in ("labelSelector=app%3Da", "fieldSelector=metadata.name%3Da", "labelSelector=app+notin+(b)"):
        items = (await api("GET", f"{N}/pods?{query}")).json["items"]
        assert [i["metadata"]["name"] for i in items] == ["a"], query
    assert (await api("GET", f"{N}/pods?fieldSelector=spec.foo%3Da")).status == 400


async def test_a_future_resource_version_times_out_with_a_reason(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdist.apiserver.handlers.read.FUTURE_WAIT", 0.01)
    answer = await api("GET", f"{CMS}?resourceVersion=99999")
    assert answer.status == 504
    assert answer.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_tables_and_metadata_are_rendered_on_request(api: Api) -> None:
    await api.make(CMS, cm("a", x="1"))
    table = (await api("GET", CMS, headers=TABLE)).json
    assert table["kind"] == "Table"
    partial = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    assert "data" not in (await api("GET", f"{CMS}/a", headers=partial)).json


async def test_unknown_fields_warn_or_refuse(api: Api) -> None:
    answer = await api("POST", CMS, {**cm("a"), "foo": 1})
    assert (answer.status, answer.headers["warning"]) == (201, '299 - "unknown field \\"foo\\""')
    assert (await api("POST", f"{CMS}?fieldValidation=Strict", {**cm("b"), "foo": 1})).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/api/v1/configmaps", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("PUT", CMS, 405),
        ("POST", f"{CMS}/a", 405),
        ("GET", "/api/v1/nope", 404),
        ("GET", f"{CMS}/a/status", 404),
        ("GET", "/apis/nope/v1/x", 404),
        ("GET", "/nope", 404),
    ],
)
async def test_what_is_not_served_is_refused(api: Api, method: str, path: str, status: int) -> None:
    assert (await api(method, path)).status == status


async def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    assert (await api("POST", CMS, cm("a", x="y" * (3 << 20)))).status == 413


async def test_finalizers_hold_an_object_until_the_last_is_gone(api: Api) -> None:
    await api.make(CMS, {"metadata": {"name": "a", "finalizers": ["x/y"]}})
    deleted = (await api("DELETE", f"{CMS}/a")).json
    assert deleted["metadata"]["deletionTimestamp"]
    await api("PATCH", f"{CMS}/a", {"metadata": {"finalizers": None}}, MERGE)
    assert (await api("GET", f"{CMS}/a")).status == 404


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    await api.make(CMS, {"metadata": {"name": "a", "labels": {"x": "1"}}})
    await api.make(CMS, cm("b"))
    deleted = (await api("DELETE", f"{CMS}?labelSelector=x%3D1")).json
    assert [i["metadata"]["name"] for i in deleted["items"]] == ["a"]
    assert (await api("GET", f"{CMS}/b")).status == 200


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.make(f"{N}/pods", pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    assert (await api("POST", f"{N}/pods/p/binding", binding)).status == 201
    bound = (await api("GET", f"{N}/pods/p")).json
    assert bound["spec"]["nodeName"] == "n"
    assert (await api("POST", f"{N}/pods/p/binding", binding)).status == 409


async def test_an_eviction_needs_a_disruption_to_spend(api: Api) -> None:
    await api.make(f"{N}/pods", pod(app="web"))
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api("PATCH", f"{N}/pods/p/status", {"status": ready}, MERGE)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await api.make(budgets, {"metadata": {"name": "b"}, "spec": spec})
    eviction = {"metadata": {"name": "p"}}
    unready = await api("POST", f"{N}/pods/p/eviction", eviction)
    assert (unready.status, unready.headers["retry-after"]) == (429, "10")
    status = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1,
              "expectedPods": 1}  # fmt: skip
    await api("PATCH", f"{budgets}/b/status", {"status": status}, MERGE)
    refused = await api("POST", f"{N}/pods/p/eviction", eviction)
    assert (refused.status, "retry-after" in refused.headers) == (429, False)
    await api("PATCH", f"{budgets}/b/status", {"status": {"disruptionsAllowed": 1}}, MERGE)
    assert (await api("POST", f"{N}/pods/p/eviction", eviction)).status == 201
    assert (await api("GET", f"{N}/pods/p")).status == 404
    assert "p" in (await api("GET", f"{budgets}/b")).json["status"]["disruptedPods"]


async def test_an_evicted_pod_is_told_to_be_disrupted(api: Api) -> None:
    made = await api.make(f"{N}/pods", {**pod(), "spec": {**pod()["spec"], "nodeName": "n"}})
    options = {"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    eviction = {"metadata": {"name": "p"}, "deleteOptions": options}
    assert (await api("POST", f"{N}/pods/p/eviction", eviction)).status == 201
    going = (await api("GET", f"{N}/pods/p")).json
    assert going["metadata"]["deletionTimestamp"]
    assert [(c["type"], c["status"]) for c in going["status"]["conditions"]] == [("DisruptionTarget", "True")]


async def test_a_review_cannot_be_shown_as_a_table(api: Api) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    assert (await api("POST", reviews, review)).status == 201
    assert (await api("POST", reviews, review, TABLE)).status == 406


async def test_discovery_does_not_mind_a_slash_at_the_end(api: Api) -> None:
    for path in ("/apis/apps", "/apis/apps/v1", "/api/v1"):
        assert (await api("GET", f"{path}/")).body == (await api("GET", path)).body


async def test_scale_reads_and_writes_the_replicas(api: Api) -> None:
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.make(deployments, {"metadata": {"name": "d"}, "spec": spec})
    scale = (await api("GET", f"{deployments}/d/scale")).json
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "a=b")
    await api("PATCH", f"{deployments}/d/scale", {"spec": {"replicas": 3}}, MERGE)
    assert (await api("GET", f"{deployments}/d")).json["spec"]["replicas"] == 3


async def test_services_never_share_addresses_or_ports(api: Api) -> None:
    def service(name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}

    made = await asyncio.gather(
        *(api.make(f"{N}/services", service(f"s{n}", type="NodePort")) for n in range(20))
    )
    assert len({m["spec"]["clusterIP"] for m in made}) == 20
    assert len({m["spec"]["ports"][0]["nodePort"] for m in made}) == 20
    taken = made[0]["spec"]["clusterIP"]
    assert (await api("POST", f"{N}/services", service("x", clusterIP=taken))).status == 422
    await api("DELETE", f"{N}/services/s0")
    assert (await api("POST", f"{N}/services", service("x", clusterIP=taken))).status == 201


async def test_the_server_publishes_itself(api: Api) -> None:
    kubernetes = (await api("GET", f"{N}/services/kubernetes")).json
    assert kubernetes["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = (await api("GET", f"{N}/endpoints/kubernetes")).json
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "192.0.2.10"}]


async def test_versions_of_a_kind_share_their_storage(api: Api) -> None:
    events = "/apis/events.k8s.io/v1/namespaces/default/events"
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    await api.make(
        events,
        {
            "metadata": {"name": "e"},
            "regarding": regarding,
            "note": "hello",
            "reason": "R",
            "action": "A",
            "type": "Normal",
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "x/y",
            "reportingInstance": "z",
        },
    )
    core = (await api("GET", f"{N}/events/e")).json
    assert (core["apiVersion"], core["message"], core["involvedObject"]["name"]) == ("v1", "hello", "p")


async def test_the_periphery_answers(api: Api) -> None:
    assert (await api("GET", "/livez")).body == b"ok"
    assert b"[+]etcd ok" in (await api("GET", "/readyz?verbose")).body
    assert (await api("GET", "/version")).json["minor"] == "32"
    assert b"apiserver_request_total" in (await api("GET", "/metrics")).body
    assert (await api("GET", "/apis/apps/v1")).json["kind"] == "APIResourceList"


async def test_a_creator_owns_what_it_said_and_its_defaults_but_nothing_that_admission_adds(api: Api) -> None:
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pod["spec"]["automountServiceAccountToken"] = False  # type: ignore[index]
    made = await api.make("/api/v1/namespaces/default/pods", pod)
    assert made["spec"]["serviceAccountName"] == "default"
    (entry,) = made["metadata"]["managedFields"]
    assert set(entry["fieldsV1"]) == {"f:spec"}
    assert set(entry["fieldsV1"]["f:spec"]) == {
        "f:automountServiceAccountToken",
        "f:containers",
        "f:dnsPolicy",
        "f:enableServiceLinks",
        "f:restartPolicy",
        "f:schedulerName",
        "f:securityContext",
        "f:terminationGracePeriodSeconds",
    }
    assert set(entry["fieldsV1"]["f:spec"]["f:containers"]) == {'k:{"name":"c"}'}
