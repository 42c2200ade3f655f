"""Redaction: no secret leaves, whatever it is written in; what one looks for stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kdist.lifecycle.care import redact

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        (f"key:\n{PEM}\nafter", "MHcCAQEEIB"),
        ("cut off: -----BEGIN PRIVATE KEY-----\nMHcCAQEEIB", "MHcCAQEEIB"),
        (f"Authorization: Bearer {JWT}", "c2lnbmF0dXJl"),
        (f"token was {JWT} here", "eyJhbGci"),
        ("kubeadm join --token abcdef.0123456789abcdef", "0123456789abcdef"),
        ("client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURQo=", "LS0tLS1C"),
        ('"secret": "c2VjcmV0LWtleS1vZi0zMi1ieXRlcy1sb25nISE="', "c2VjcmV0"),
        ("DB_PASSWORD=hunter2 started", "hunter2"),
        ("--oidc-client-secret=hunter2", "hunter2"),
        ('{"password": "hunter2"}', "hunter2"),
        ("aws_secret_access_key = hunter2", "hunter2"),
        ("https://ann:hunter2@registry.example.com/v2/", "hunter2"),
        ("authorization: Basic YW5uOmh1bnRlcjI=", "YW5uOmh1"),
    ],
)
def test_a_secret_in_a_text_is_blacked_out(given: str, secret: str) -> None:
    found = redact.text(given)
    assert secret not in found
    assert redact.GONE in found


@pytest.mark.parametrize(
    "given",
    [
        "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        "tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token",
        "--authorization-mode=Node,RBAC",
        "automountServiceAccountToken: false",
        "secretName: web-tls",
        "image localhost/kdist:0.1.0 on 10.96.0.10:53 in 0.25 s",
        "tokenExpirationSeconds: 3607",
    ],
)
def test_what_is_no_secret_stays(given: str) -> None:
    assert redact.text(given) == given


def pod() -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "planted-1", "note": "kept"},
        },
        "spec": {
            "containers": [
                {
                    "image": "web:1",
                    "env": [
                        {"name": "INNOCENT", "value": "planted-2"},
                        {"name": "NODE", "valueFrom": {"fieldRef": {}}},
                    ],
                    "args": ["--password=planted-3", "--port=80"],
                }
            ]
        },
    }


def test_an_object_loses_variables_applied_copies_and_managed_fields() -> None:
    found = json.dumps(redact.obj(pod()))
    assert "planted" not in found
    assert "managedFields" not in found
    assert all(kept in found for kept in ("web:1", "INNOCENT", "valueFrom", "--port=80", "kept"))


def test_a_workloads_template_is_cleaned_as_a_pod_is() -> None:
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": pod()["spec"]}},
    }
    assert "planted" not in json.dumps(redact.obj(deployment))


def test_configuration_of_users_is_told_by_its_keys_and_that_of_the_system_is_kept() -> None:
    mine = {
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "shop"},
        "data": {"app.ini": "dsn=planted"},
    }
    assert redact.obj(mine)["data"] == {"app.ini": "<11 characters>"}
    ours = {
        "kind": "ConfigMap",
        "metadata": {"name": "b", "namespace": "kube-system"},
        "data": {"level": "info"},
    }
    assert redact.obj(ours)["data"] == {"level": "info"}


def test_plain_data_is_cleaned_by_the_names_of_its_keys() -> None:
    given = {
        "api_token": "planted",
        "token_file": "/run/token",
        "list": [{"password": "planted", "count": 3}],
    }
    found = redact.value(given)
    assert found == {
        "api_token": redact.GONE,
        "token_file": "/run/token",
        "list": [{"password": redact.GONE, "count": 3}],
    }
