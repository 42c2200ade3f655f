"""The flow control objects there are in every cluster, in upstream's names, order and figures.

The mandatory ones hold the corners: administrators are never queued, and nobody is without a place. The suggested
ones are a policy that fits most clusters; an administrator may take them over (see ``maintenance``).
"""

from __future__ import annotations

from collections.abc import Sequence

from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.apiserver.authn.user import (
    AUTHENTICATED,
    MASTERS,
    NODES_GROUP,
    SERVICE_ACCOUNTS_GROUP,
    UNAUTHENTICATED,
)

GROUP = "flowcontrol.apiserver.k8s.io"
LEVELS = Kind(GROUP, "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", namespaced=False)
SCHEMAS = Kind(GROUP, "v1", "flowschemas", "FlowSchema", namespaced=False)
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
EXEMPT, CATCH_ALL = "exempt", "catch-all"

_EVERYBODY = (UNAUTHENTICATED, AUTHENTICATED)
_CONTROLLER_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_TO_LEAD = ("get", "create", "update")


def _object(kind: Kind, name: str, spec: Obj) -> Obj:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    }


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Obj:
    response: Obj = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return _object(LEVELS, name, {"type": "Limited", "limited": limited})


def _groups(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Obj]:
    return [
        {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}}
        for name in names
    ]


def _resources(verbs: Sequence[str], group: str, *resources: str, cluster: bool = False) -> Obj:
    rule: Obj = {
        "verbs": list(verbs),
        "apiGroups": [group],
        "resources": list(resources),
        "namespaces": ["*"],
    }
    return {**rule, "clusterScope": True} if cluster else rule


_EVERYTHING: Obj = {
    "resourceRules": [_resources(["*"], "*", "*", cluster=True)],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _schema(name: str, level: str, precedence: int, method: str, subjects: list[Obj], rules: Obj) -> Obj:
    spec: Obj = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, **rules}],
    }
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return _object(SCHEMAS, name, spec)


MANDATORY_LEVELS: tuple[Obj, ...] = (
    _object(
        LEVELS, EXEMPT, {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    ),
    _level(CATCH_ALL, 5, 0),
)
MANDATORY_SCHEMAS: tuple[Obj, ...] = (
    _schema(EXEMPT, EXEMPT, 1, "", _groups(MASTERS), _EVERYTHING),
    _schema(CATCH_ALL, CATCH_ALL, 10000, "ByUser", _groups(*_EVERYBODY), _EVERYTHING),
)
SUGGESTED_LEVELS: tuple[Obj, ...] = (
    _level("system", 30, 33, queues=64, hand=6),
    _level("node-high", 40, 25, queues=64, hand=6),
    _level("leader-election", 10, 0, queues=16, hand=4),
    _level("workload-high", 40, 50, queues=128, hand=6),
    _level("workload-low", 100, 90, queues=128, hand=6),
    _level("global-default", 20, 50, queues=128, hand=6),
)
_LEASES = _resources(_TO_LEAD, "coordination.k8s.io", "leases")
SUGGESTED_SCHEMAS: tuple[Obj, ...] = (
    _schema("system-nodes", "system", 500, "ByUser", _groups(NODES_GROUP), _EVERYTHING),
    _schema(
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        _groups(NODES_GROUP),
        {
            "resourceRules": [
                _resources(["*"], "", "nodes", "nodes/status", cluster=True),
                _resources(["*"], "coordination.k8s.io", "leases"),
            ]
        },
    ),
    _schema(
        "probes",
        EXEMPT,
        2,
        "",
        _groups(*_EVERYBODY),
        {
            "nonResourceRules": [
                {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]},
            ]
        },
    ),
    _schema(
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        [*_users(_CONTROLLER_MANAGER, _SCHEDULER), *_accounts("*")],
        {"resourceRules": [_LEASES]},
    ),
    _schema(
        "workload-leader-election",
        "leader-election",
        200,
        "ByUser",
        _accounts("*"),
        {"resourceRules": [_resources(_TO_LEAD, "", "endpoints", "configmaps"), _LEASES]},
    ),
    _schema(
        "endpoint-controller",
        "workload-high",
        150,
        "ByUser",
        [
            *_users(_CONTROLLER_MANAGER),
            *_accounts("endpoint-controller", "endpointslicemirroring-controller"),
        ],
        {"resourceRules": [_resources(_TO_LEAD, "", "endpoints")]},
    ),
    _schema(
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        _users(_CONTROLLER_MANAGER),
        _EVERYTHING,
    ),
    _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _users(_SCHEDULER), _EVERYTHING),
    _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _accounts("*"), _EVERYTHING),
    _schema(
        "service-accounts",
        "workload-low",
        9000,
        "ByUser",
        _groups(SERVICE_ACCOUNTS_GROUP),
        _EVERYTHING,
    ),
    _schema("global-default", "global-default", 9900, "ByUser", _groups(*_EVERYBODY), _EVERYTHING),
)
