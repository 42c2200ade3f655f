"""The roles for people: cluster-admin, admin, edit, view and what they are aggregated from."""

from __future__ import annotations

from kdist.apiserver.bootstrap.notation import (
    AGGREGATE,
    ALL,
    READ,
    WRITE,
    Entry,
    aggregated,
    allow_all,
    role,
)
from kdist.apiserver.ports import Obj

_VIEW: tuple[Entry, ...] = (
    (
        "core configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,"
        "replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status",
        READ,
    ),
    (
        "core bindings,events,limitranges,namespaces,namespaces/status,pods/log,pods/status,"
        "replicationcontrollers/status,resourcequotas,resourcequotas/status",
        READ,
    ),
    ("discovery.k8s.io endpointslices", READ),
    (
        "apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,"
        "deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,"
        "statefulsets/scale,statefulsets/status",
        READ,
    ),
    ("autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status", READ),
    ("batch cronjobs,cronjobs/status,jobs,jobs/status", READ),
    ("policy poddisruptionbudgets,poddisruptionbudgets/status", READ),
    ("networking.k8s.io ingresses,ingresses/status,networkpolicies", READ),
)
_EDIT: tuple[Entry, ...] = (
    ("core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy", READ),
    ("core serviceaccounts", "impersonate"),
    ("core pods,pods/attach,pods/exec,pods/portforward,pods/proxy", WRITE),
    ("core pods/eviction,serviceaccounts/token", "create"),
    (
        "core configmaps,events,persistentvolumeclaims,replicationcontrollers,"
        "replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
        WRITE,
    ),
    (
        "apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,"
        "replicasets/scale,statefulsets,statefulsets/scale",
        WRITE,
    ),
    ("autoscaling horizontalpodautoscalers", WRITE),
    ("batch cronjobs,jobs", WRITE),
    ("policy poddisruptionbudgets", WRITE),
    ("networking.k8s.io ingresses,networkpolicies", WRITE),
    ("coordination.k8s.io leases", f"{READ} {WRITE}"),
)
_ADMIN: tuple[Entry, ...] = (
    ("authorization.k8s.io localsubjectaccessreviews", "create"),
    ("rbac.authorization.k8s.io rolebindings,roles", f"{READ} {WRITE}"),
)


def _to(target: str) -> dict[str, str]:
    return {f"{AGGREGATE}{target}": "true"}


def user_roles() -> list[Obj]:
    """All of them; the aggregated three without rules."""
    everything = [
        {"apiGroups": [ALL], "resources": [ALL], "verbs": [ALL]},
        {"nonResourceURLs": [ALL], "verbs": [ALL]},
    ]
    return [
        role("cluster-admin", everything),
        aggregated("admin", {}, "admin"),
        aggregated("edit", _to("admin"), "edit"),
        aggregated("view", _to("edit"), "view"),
        role("system:aggregate-to-admin", allow_all(_ADMIN), labels=_to("admin")),
        role("system:aggregate-to-edit", allow_all(_EDIT), labels=_to("edit")),
        role("system:aggregate-to-view", allow_all(_VIEW), labels=_to("view")),
    ]
