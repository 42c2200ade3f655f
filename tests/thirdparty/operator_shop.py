"""An operator built on kopf, run by test_kopf.py as ``kopf run``: greetings own ConfigMaps.

It uses what operators use: creation, update, field, timer and deletion handlers (a finalizer), results in status,
events, adopted children, an index, and admission by a mutating and a validating webhook.
"""

from __future__ import annotations

import os
from typing import Any

import kopf
from kubernetes import client, config

GROUP = os.environ["OPERATOR_GROUP"]
GREETINGS = (GROUP, "v1", "greetings")
config.load_kube_config(os.environ["KUBECONFIG"])
CORE = client.CoreV1Api()


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.level = 20
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.admission.managed = f"auto.{GROUP}"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        host="127.0.0.1",
        certfile=os.environ["OPERATOR_CERTIFICATE"],
        pkeyfile=os.environ["OPERATOR_KEY"],
        cafile=os.environ["OPERATOR_CERTIFICATE"],
    )


@kopf.on.mutate(*GREETINGS)
def fill(spec: kopf.Spec, patch: kopf.Patch, warnings: list[str], **_: Any) -> None:
    if "tone" not in spec:
        patch.spec["tone"] = "friendly"
        warnings.append("the tone is friendly")


@kopf.on.validate(*GREETINGS)
def check(spec: kopf.Spec, **_: Any) -> None:
    if not spec.get("to"):
        raise kopf.AdmissionError("a greeting needs somebody to greet", code=400)


@kopf.on.create(*GREETINGS)
def create(spec: kopf.Spec, name: str, namespace: str, **_: Any) -> dict[str, str]:
    child = {"metadata": {"name": name}, "data": {"text": f"Hello, {spec['to']}!"}}
    kopf.adopt(child)
    made = CORE.create_namespaced_config_map(namespace, child)
    return {"child": made.metadata.uid}


@kopf.on.update(*GREETINGS, field="spec.to")
def update(new: str, name: str, namespace: str, body: kopf.Body, **_: Any) -> None:
    CORE.patch_namespaced_config_map(name, namespace, {"data": {"text": f"Hello, {new}!"}})
    kopf.event(body, type="Normal", reason="Renamed", message=f"now greets {new}")


@kopf.timer(*GREETINGS, interval=0.5)
def tick(patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
    if status.get("ticks", 0) < 3:
        patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.on.delete(*GREETINGS)
def farewell(namespace: str, name: str, **_: Any) -> None:
    CORE.create_namespaced_config_map(namespace, {"metadata": {"name": f"farewell-{name}"}})


@kopf.on.event("v1", "configmaps", labels={"watched": "yes"})
def mirror(event: kopf.RawEvent, name: str, namespace: str, **_: Any) -> None:
    if event["type"] == "ADDED":
        CORE.patch_namespaced_config_map(name, namespace, {"metadata": {"annotations": {"seen": "yes"}}})
