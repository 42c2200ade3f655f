"""What a request asks for: coordinates, media types, protobuf bodies."""

from __future__ import annotations

import pytest

from kdist.api.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from kdist.apiserver import negotiation, protobuf, requestinfo
from kdist.apiserver.negotiation import Form


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", ("list", "", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", ("get", "", "pods", "log", "a", "p")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", ("create", "", "pods", "exec", "a", "p")),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            ("deletecollection", "apps", "deployments", "", "a", ""),
        ),
        ("GET", "/api/v1/namespaces/a", ("get", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "namespaces", "finalize", "a", "a")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ("watch", "", "pods", "", "a", "")),
        ("GET", "/api/v1/nodes/n/proxy/metrics/cadvisor", ("get", "", "nodes", "proxy", "", "n")),
        ("OPTIONS", "/api/v1/nodes/n/proxy", ("", "", "nodes", "proxy", "", "n")),
    ],
)
def test_paths_name_a_verb_and_a_resource(method: str, path: str, expected: tuple[str, ...]) -> None:
    info = requestinfo.parse(method, path, {})
    assert (info.verb, info.group, info.plural, info.subresource, info.namespace, info.name) == expected


@pytest.mark.parametrize("path", ["/", "/healthz", "/apis", "/api/v1", "/apis/apps/v1", "/version"])
def test_other_paths_are_no_resource(path: str) -> None:
    assert not requestinfo.parse("GET", path, {}).is_resource


def test_a_field_selector_may_name_the_one_object() -> None:
    info = requestinfo.parse("GET", "/api/v1/secrets", {"watch": ["1"], "fieldSelector": ["metadata.name=x"]})
    assert (info.verb, info.name, info.name_in_path) == ("watch", "x", False)


def test_what_follows_proxy_is_its_path() -> None:
    info = requestinfo.parse("GET", "/api/v1/namespaces/a/services/s/proxy/b/c", {})
    assert info.tail == "b/c"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("application/vnd.kubernetes.protobuf, application/json", Form()),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form(kind="Table")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form()),
        ("application/yaml", Form("application/yaml")),
        ("application/json;q=0.1, application/yaml", Form("application/yaml")),
    ],
)
def test_the_best_form_that_can_be_served_is_chosen(accept: str, form: Form) -> None:
    assert negotiation.accepted(accept) == form


def test_unknown_media_types_are_refused() -> None:
    with pytest.raises(NotAcceptable):
        negotiation.accepted("text/html")
    with pytest.raises(UnsupportedMediaType):
        negotiation.body_type("text/plain")
    with pytest.raises(UnsupportedMediaType):
        negotiation.patch_type("application/json")


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2, len(payload)]) + payload


def test_a_protobuf_body_becomes_the_object_it_stands_for() -> None:
    metadata = _field(1, b"web") + _field(3, b"") + _field(8, b"")
    data = _field(1, b"key") + _field(2, b"value")
    types = _field(1, b"v1") + _field(2, b"ConfigMap")
    body = b"k8s\0" + _field(1, types) + _field(2, _field(1, metadata) + _field(2, data) + b"\x20\x01")
    assert protobuf.decode(body) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "web"},
        "data": {"key": "value"},
        "immutable": True,
    }


def test_inlined_structs_and_special_types_are_decoded() -> None:
    port = _field(2, b"\x08\x00\x10\x50\x1a\x00")  # IntOrString 80
    probe = _field(1, _field(2, port))  # handler (inlined), httpGet, port
    container = _field(1, b"c") + _field(10, probe)
    spec = _field(2, container)
    types = _field(1, b"v1") + _field(2, b"Pod")
    body = b"k8s\0" + _field(1, types) + _field(2, _field(2, spec))
    [decoded] = protobuf.decode(body)["spec"]["containers"]
    assert decoded == {"name": "c", "livenessProbe": {"httpGet": {"port": 80}}}


@pytest.mark.parametrize(
    "body", [b"{}", b"k8s\0\x0a", b"k8s\0" + _field(1, _field(1, b"v9") + _field(2, b"X"))]
)
def test_broken_protobuf_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(body)
