"""Small objects for controllers' tests."""

from typing import Any

Obj = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def pod(
    name: str = "p", *, owner: str | None = None, phase: str = "Running", ready: bool = True, **more: Any
) -> Obj:
    """A pod; ``more`` overrides spec (node), labels, annotations, deleting, created, finalizers."""
    metadata: Obj = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "labels": more.get("labels", {}),
        "annotations": more.get("annotations", {}),
        "creationTimestamp": more.get("created", NOW),
        "finalizers": more.get("finalizers", []),
    }
    if owner:
        metadata["ownerReferences"] = [
            {"uid": owner, "controller": True, "kind": "X", "apiVersion": "v1", "name": "x"}
        ]
    if more.get("deleting"):
        metadata["deletionTimestamp"] = NOW
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": NOW}
    spec = {"nodeName": more["node"]} if more.get("node") else {}
    status: Obj = {"phase": phase, "conditions": [condition]}
    if more.get("ip"):
        status["podIP"] = more["ip"]
    return {"metadata": metadata, "spec": {**spec, **more.get("spec", {})}, "status": status}
