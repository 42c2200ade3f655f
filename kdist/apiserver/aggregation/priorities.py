"""Which group and version is preferred: the numbers of the APIServices of what this server serves itself. Pure."""

from __future__ import annotations

from kdist.api.meta import Obj

REGISTRATION_GROUP = (
    "apiregistration.k8s.io"  # has no APIService of its own and comes before all that have one
)
MANAGED_LABEL = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"

# As upstream's, so that an extension's groupPriorityMinimum means the same here.
_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
_VERSIONS = {("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21}
_STABLE = 15
_CUSTOM = (1000, 100)


def of(group: str, version: str, *, custom: bool) -> tuple[int, int]:
    """(groupPriorityMinimum, versionPriority) of a group and version that this server serves."""
    if custom or group not in _GROUPS:
        return _CUSTOM
    return _GROUPS[group], _VERSIONS.get((group, version), _STABLE)


def local(group: str, version: str, *, custom: bool) -> Obj:
    """The APIService of a group and version that this server serves."""
    group_priority, version_priority = of(group, version, custom=custom)
    spec: Obj = {
        "groupPriorityMinimum": group_priority,
        "version": version,
        "versionPriority": version_priority,
    }
    if group:
        spec["group"] = group
    return {
        "kind": "APIService",
        "apiVersion": f"{REGISTRATION_GROUP}/v1",
        "metadata": {"name": f"{version}.{group}", "labels": {MANAGED_LABEL: ALWAYS if custom else ON_START}},
        "spec": spec,
    }
