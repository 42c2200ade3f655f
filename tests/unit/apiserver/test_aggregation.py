"""Groups of other servers: which is preferred, who answers a request, what is told of them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver import requestinfo
from kdist.apiserver.aggregation import groups, priorities
from kdist.apiserver.aggregation.availability import LOCAL, PASSED, with_condition
from kdist.apiserver.aggregation.backends import Backend, backend_of
from kdist.apiserver.aggregation.proxying import backend_for, identity_headers
from kdist.apiserver.aggregation.remotediscovery import from_classic
from kdist.apiserver.aggregation.remoteopenapi import merge, restricted
from kdist.apiserver.authn.user import User

Obj = dict[str, Any]


def _api_service(group: str, version: str = "v1", *, priority: int = 2000, **spec: Any) -> Obj:
    service = {"namespace": "default", "name": "s"}
    numbers = {"groupPriorityMinimum": priority, "versionPriority": 10}
    return {
        "metadata": {"name": f"{version}.{group}"},
        "spec": {"group": group, "version": version, "service": service, **numbers, **spec},
    }


def _known(*api_services: Obj) -> dict[tuple[str, str], Backend]:
    backends = [backend for a in api_services if (backend := backend_of(a)) is not None]
    return {(b.group, b.version): b for b in backends}


def test_groups_are_ordered_by_priority_and_then_by_name(scheme: Scheme) -> None:
    known = _known(_api_service("b.com"), _api_service("a.com"), _api_service("first.com", priority=17900))
    served = list(groups.ordered(scheme, known))
    assert served[:4] == ["apiregistration.k8s.io", "", "first.com", "apps"]
    assert served[-2:] == ["a.com", "b.com"]


def test_versions_are_ordered_by_priority_and_then_by_stability(scheme: Scheme) -> None:
    known = _known(
        _api_service("a.com", "v1beta1"),
        _api_service("a.com", "v1"),
        _api_service("a.com", "v0", versionPriority=99),
    )
    assert groups.ordered(scheme, known)["a.com"] == ["v0", "v1", "v1beta1"]
    assert groups.ordered(scheme, {})["autoscaling"] == ["v2", "v1"]


def test_a_local_api_service_is_no_backend() -> None:
    assert backend_of(priorities.local("apps", "v1", custom=False)) is None


def test_a_backend_knows_its_server() -> None:
    bundle = base64.b64encode(b"pem").decode()
    backend = backend_of(_api_service("a.com", caBundle=bundle))
    assert backend is not None
    assert (backend.root, backend.server_name, backend.port) == ("/apis/a.com/v1", "s.default.svc", 443)
    assert backend.ca_bundle == b"pem" and not backend.available


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/apis/a.com/v1", True),
        ("/apis/a.com/v1/", True),
        ("/apis/a.com/v1/things", True),
        ("/apis/a.com/v1/namespaces/x/things/y/z", True),
        ("/openapi/v3/apis/a.com/v1", True),
        ("/apis/a.com/v1/namespaces/x/things/y/z/deeper/still", True),
        ("/apis/a.com/v1//things", False),
        ("/apis/a.com", False),
        ("/apis/a.com/v2/things", False),
        ("/apis/apps/v1/deployments", False),
        ("/api/v1/pods", False),
        ("/healthz", False),
    ],
)
def test_a_backend_answers_for_its_group_and_version(path: str, answered: bool) -> None:
    found = backend_for(_known(_api_service("a.com")), requestinfo.parse("GET", path, {}))
    assert (found is not None) is answered


def test_a_path_below_a_subresource_is_authorized_as_the_subresource() -> None:
    info = requestinfo.parse("GET", "/apis/a.com/v1/namespaces/x/things/y/z/deeper", {})
    assert (info.namespace, info.plural, info.name, info.subresource) == ("x", "things", "y", "z")
    assert info.is_resource and info.deeper


def test_a_user_is_told_by_headers_that_cannot_be_broken_out_of() -> None:
    user = User("jane\r\nX-Remote-Group: system:masters", groups=("a", "b"), extra={"Some Key%": ("v",)})
    assert list(identity_headers(user)) == [
        ("X-Remote-User", "jane  X-Remote-Group: system:masters"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-some%20key%25", "v"),
    ]


def test_a_condition_is_written_only_when_it_changes() -> None:
    changed = with_condition(_api_service("a.com"), PASSED)
    assert changed is not None
    (condition,) = changed["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Passed")
    assert with_condition(changed, PASSED) is None
    condition["lastTransitionTime"] = "2000-01-01T00:00:00Z"
    again = with_condition(changed, LOCAL)
    assert (
        again is not None and again["status"]["conditions"][0]["lastTransitionTime"] == "2000-01-01T00:00:00Z"
    )
    failed = with_condition(changed, ("False", "ServiceNotFound", "x"))
    assert (
        failed is not None
        and failed["status"]["conditions"][0]["lastTransitionTime"] != "2000-01-01T00:00:00Z"
    )


def test_conditions_of_others_stay() -> None:
    other = {"type": "Mine", "status": "True"}
    changed = with_condition({**_api_service("a.com"), "status": {"conditions": [other]}}, PASSED)
    assert changed is not None and changed["status"]["conditions"][0] == other


def test_classic_discovery_becomes_aggregated() -> None:
    rows = [
        {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
        {"name": "things/status", "namespaced": True, "kind": "Thing", "verbs": ["patch"]},
    ]
    (found,) = from_classic(rows)
    assert (found["resource"], found["scope"], found["singularResource"]) == ("things", "Namespaced", "thing")
    assert found["subresources"][0]["subresource"] == "status"


def test_merged_documents_keep_their_own_definitions() -> None:
    def refers(name: str) -> Obj:
        return {"schema": {"$ref": f"#/definitions/{name}"}}

    document: Obj = {
        "paths": {"/a": {}},
        "definitions": {"Same": {"type": "string"}, "Other": {"type": "string"}},
    }
    remote = {
        "paths": {"/apis/a.com/v1/x": refers("Other"), "/apis/b.com/v1/y": refers("Unused")},
        "definitions": {
            "Same": {"type": "string"},
            "Other": {"properties": {"s": refers("Same")}},
            "Unused": {},
        },
    }
    spec = restricted(remote, "/apis/a.com/v1")
    assert set(spec["definitions"]) == {"Same", "Other"}
    merge(document, spec)
    assert set(document["definitions"]) == {"Same", "Other", "Other_v2"}
    assert document["paths"]["/apis/a.com/v1/x"] == refers("Other_v2")
    assert document["definitions"]["Other"] == {"type": "string"}


def test_shared_parameters_of_another_server_are_written_out_where_they_are_used() -> None:
    limit = {"name": "limit", "in": "query", "type": "integer"}
    body = {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/Options"}}
    listed = [{"$ref": "#/parameters/limit-x"}, {"$ref": "#/parameters/body-x"}]
    remote = {
        "paths": {"/apis/a.com/v1/x": {"get": {"parameters": listed}, "parameters": listed[:1]}},
        "definitions": {"Options": {"type": "object"}},
        "parameters": {"limit-x": limit, "body-x": body},
    }
    spec = restricted(remote, "/apis/a.com/v1")
    assert spec["paths"] == {
        "/apis/a.com/v1/x": {"get": {"parameters": [limit, body]}, "parameters": [limit]}
    }
    assert set(spec["definitions"]) == {"Options"}
