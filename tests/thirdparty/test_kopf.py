"""An operator built on kopf does its work: children, status, timers, events, finalizers, admission webhooks."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.conftest import Kubectl, eventually

OPERATOR = Path(__file__).parent / "operator_shop.py"
GROUP = "kopf.example.org"
STOP_SECONDS = 20
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"greetings.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "greetings", "singular": "greeting", "kind": "Greeting", "shortNames": ["gr"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "To", "type": "string", "jsonPath": ".spec.to"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"to": {"type": "string"}, "tone": {"type": "string"}},
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of the webhook server's own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "operator")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "webhook.crt", folder / "webhook.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def operated(cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl in a namespace that the operator serves."""
    folder = tmp_path_factory.mktemp("kopf")
    certificate, key = _certificate(folder)
    space = replace(cluster, namespace="kopf")
    cluster("create", "namespace", space.namespace)
    cluster.apply(DEFINITION)
    cluster("wait", "--for=condition=Established", f"crd/greetings.{GROUP}", "--timeout=30s")
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "OPERATOR_GROUP": GROUP,
        "OPERATOR_CERTIFICATE": str(certificate),
        "OPERATOR_KEY": str(key),
    }
    command = [
        sys.executable,
        "-m",
        "kopf",
        "run",
        str(OPERATOR),
        "--namespace",
        space.namespace,
        "--verbose",
    ]
    with (folder / "operator.log").open("w") as log:
        operator = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    hooks = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    try:
        for kind in hooks:
            eventually(lambda kind=kind: _hooks(cluster, kind), f"the operator registers its {kind}", 60)
        yield space
    finally:
        operator.terminate()
        code = operator.wait(STOP_SECONDS)
        print((folder / "operator.log").read_text())
        cluster("delete", *hooks[:1], f"auto.{GROUP}", "--ignore-not-found")
        cluster("delete", *hooks[1:], f"auto.{GROUP}", "--ignore-not-found")
    assert code == 0
    assert "Traceback" not in (folder / "operator.log").read_text()


def _hooks(cluster: Kubectl, kind: str) -> list[Any]:
    found = [item for item in cluster.get(kind)["items"] if item["metadata"]["name"] == f"auto.{GROUP}"]
    return [hook for item in found for hook in item.get("webhooks") or []]


def _greeting(name: str, **spec: str) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Greeting", "metadata": {"name": name}, "spec": spec}


def _text(kubectl: Kubectl, name: str) -> str:
    done = kubectl.run(("get", "configmap", name, "-o", "jsonpath={.data.text}"))
    return done.stdout


def test_handlers_make_and_follow(operated: Kubectl) -> None:
    operated.apply(_greeting("first", to="world"))
    eventually(lambda: _text(operated, "first") == "Hello, world!", "the child is made")
    (owner,) = operated.get("configmap", "first")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("Greeting", True)
    operated.apply(_greeting("first", to="moon"))
    eventually(lambda: _text(operated, "first") == "Hello, moon!", "the child follows")
    told = operated.get("greeting", "first")
    assert told["status"]["create"]["child"] == operated.get("configmap", "first")["metadata"]["uid"]
    assert f"{GROUP}/operator" in told["metadata"]["finalizers"]
    assert "moon" in operated("get", "gr", "first")


def test_timers_count_in_status_without_a_new_generation(operated: Kubectl) -> None:
    operated.apply(_greeting("timed", to="clock"))
    eventually(lambda: operated.get("greeting", "timed").get("status", {}).get("ticks") == 3, "three ticks")
    assert operated.get("greeting", "timed")["metadata"]["generation"] == 1


def test_events_are_posted(operated: Kubectl) -> None:
    operated.apply(_greeting("told", to="a"))
    eventually(lambda: _text(operated, "told"), "the child is made")
    operated.apply(_greeting("told", to="b"))
    eventually(lambda: "now greets b" in operated("events", "--for", "greeting/told"), "the event is listed")


def test_deletion_waits_for_the_operator_and_takes_the_child(operated: Kubectl) -> None:
    operated.apply(_greeting("leaving", to="you"))
    eventually(lambda: _text(operated, "leaving"), "the child is made")
    operated("delete", "greeting", "leaving", "--timeout=30s")
    assert operated.get("configmap", "farewell-leaving")
    eventually(lambda: not _text(operated, "leaving"), "the child is collected")


def test_webhooks_complete_and_refuse(operated: Kubectl) -> None:
    done = operated.run(("apply", "-f", "-"), stdin=json.dumps(_greeting("hooked", to="me")))
    assert "Warning: the tone is friendly" in done.stderr
    assert operated.get("greeting", "hooked")["spec"]["tone"] == "friendly"
    refusal = operated.fails("apply", "-f", "-", stdin=json.dumps(_greeting("nobody")))
    assert "a greeting needs somebody to greet" in refusal


def test_watching_handlers_see_other_kinds(operated: Kubectl) -> None:
    operated("create", "configmap", "seen")
    operated("label", "configmap", "seen", "watched=yes")
    operated("delete", "configmap", "seen")
    watched = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "again", "labels": {"watched": "yes"}},
    }
    operated.apply(watched)
    eventually(
        lambda: operated.get("configmap", "again")["metadata"].get("annotations", {}).get("seen") == "yes",
        "the handler has seen the object",
    )
