"""Bodies of requests: decoded, conformed to the schema, refused in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.api.errors import BadRequest
from kdist.api.scheme import Scheme
from kdist.apiserver.validation import decode, read_object, validate_metadata, validate_metadata_update
from kdist.apiserver.validation.names import dns_subdomain


def _read(scheme: Scheme, text: str, level: str = "Strict", media_type: str = "application/json") -> Any:
    schema = scheme.schema("apps/v1", "Deployment")
    assert schema is not None
    body = decode(text.encode(), media_type)
    return read_object(body, schema, kind="Deployment", version="v1", field_validation=level)


_SPEC = '{"spec": {"template": {"spec": {"containers": [%s]}}}}'


@pytest.mark.parametrize(
    ("container", "told"),
    [
        (
            '{"name": 5}',
            "number into Go struct field Container.spec.template.spec.containers.name of type string",
        ),
        ('"x"', "string into Go struct field PodSpec.spec.template.spec.containers of type v1.Container"),
        ('{"ports": [{"containerPort": 1.5}]}', "number 1.5 into Go struct field ContainerPort."),
        ('{"livenessProbe": {"httpGet": {"port": true}}}', "bool into Go struct field HTTPGetAction."),
        ('{"resources": {"limits": {"cpu": "1x"}}}', "quantities must match the regular expression"),
    ],
)
def test_wrong_types_are_named_with_their_path(scheme: Scheme, container: str, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        _read(scheme, _SPEC % container)
    opening = 'Deployment in version "v1" cannot be handled as a Deployment: '
    assert refused.value.message.startswith(opening)
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"spec": {"foo": 1, "replicas": 1, "replicas": 2}}',
            ['unknown field "spec.foo"', 'duplicate field "spec.replicas"'],
        ),
        (
            '{"spec": {"replicas": 1, "replicas": 2, "template": {"a": 1, "a": 2}}, "foo": 1}',
            ['duplicate field "spec.replicas"', 'unknown field "spec.template.a"', 'unknown field "foo"'],
        ),
    ],
)
def test_unknown_and_duplicate_fields_are_refused_told_or_dropped_in_their_order(
    scheme: Scheme, text: str, told: list[str]
) -> None:
    with pytest.raises(BadRequest, match="strict decoding error: " + ", ".join(told)):
        _read(scheme, text)
    for level, warned in (("Warn", told), ("Ignore", [])):
        obj, warnings = _read(scheme, text, level)
        assert obj["spec"]["replicas"] == 2 and "foo" not in obj["spec"]
        assert warnings == warned


def test_yaml_bodies_know_their_duplicates(scheme: Scheme) -> None:
    obj, warnings = _read(scheme, "spec:\n  replicas: 1\n  replicas: 2\n", "Warn", "application/yaml")
    told = 'yaml: unmarshal errors:\n  line 3: key "replicas" already set in map'
    assert (obj["spec"]["replicas"], warnings) == (2, [told])


def test_values_take_their_stored_form(scheme: Scheme) -> None:
    container = '{"name": "a", "image": "", "args": [], "env": null, "resources": {"limits": {"cpu": 0.5}}}'
    obj, _ = _read(scheme, _SPEC % container)
    stored = obj["spec"]["template"]["spec"]["containers"][0]
    assert stored == {"name": "a", "resources": {"limits": {"cpu": "500m"}}}


def test_metadata_is_judged_whole() -> None:
    metadata = {"name": "Bad_Name", "labels": {"a b": "c d"}, "finalizers": ["x"]}
    causes = validate_metadata(metadata, namespaced=True, name_rule=dns_subdomain)
    assert [c.field for c in causes] == [
        "metadata.name",
        "metadata.namespace",
        "metadata.labels",
        "metadata.labels",
        "metadata.finalizers[0]",
    ]


def test_identity_stays_and_a_deleted_object_gets_no_finalizers() -> None:
    old = {"name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    causes = validate_metadata_update({**old, "uid": "2", "finalizers": ["a.b/c"]}, old)
    assert [(c.field, c.reason) for c in causes] == [
        ("metadata.uid", "FieldValueInvalid"),
        ("metadata.finalizers", "FieldValueForbidden"),
    ]
