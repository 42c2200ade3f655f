"""A cluster in objects, for tests of what is pure about an upgrade."""

from __future__ import annotations

import dataclasses
from typing import Any

from kdist.lifecycle.upgrade.gates import CONTROL_PLANE_PARTS, ClusterView, MemberView
from kdist.lifecycle.upgrade.plan import HostNow, Target

OLD, NEW = Target("0.1.0", "1.32"), Target("0.2.0", "1.33")
Obj = dict[str, Any]


def host(name: str, at: Target = OLD, *, server: Target | None = None) -> HostNow:
    """A host of which everything is at one version; names of control planes begin with cp."""
    plane = name.startswith("cp")
    return HostNow(name, plane, at.version, at, (server or at) if plane else None)


def version(target: Target) -> str:
    """As components report it."""
    return f"v{target.api_level}.0+kdist.{target.version}"


def node(name: str, at: Target = OLD, *, ready: str = "True") -> Obj:
    """A node object."""
    status = {
        "nodeInfo": {"kubeletVersion": version(at)},
        "conditions": [{"type": "Ready", "status": ready, "message": "told", "lastTransitionTime": "then"}],
    }
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def static_pod(part: str, host: str, at: Target = OLD, *, ready: str = "True") -> Obj:
    """A mirror pod."""
    return {
        "metadata": {
            "name": f"{part}-{host}",
            "namespace": "kube-system",
            "annotations": {"kubernetes.io/config.mirror": "x"},
        },
        "spec": {"containers": [{"image": f"localhost/kdist:{at.version}"}], "nodeName": host},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def deployment(name: str, *, available: int, wanted: int = 3, namespace: str = "default") -> Obj:
    """A Deployment whose last change was seen."""
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 1, "availableReplicas": available, "updatedReplicas": wanted},
    }


def view(*names: str, at: Target = OLD, **more: Any) -> ClusterView:
    """A healthy cluster of these hosts."""
    planes = [name for name in names if name.startswith("cp")]
    healthy = ClusterView(
        {name: node(name, at) for name in names},
        {name: version(at) for name in planes},
        [static_pod(part, name, at) for name in planes for part in CONTROL_PLANE_PARTS],
        members=[MemberView(name) for name in planes],
    )
    return dataclasses.replace(healthy, **more)
