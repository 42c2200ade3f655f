"""A short notation for RBAC objects, so that the default policy reads as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kdist.apiserver.ports import Obj

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"
DEFAULTS_LABEL = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL = "*"

# "apps deployments,replicasets" or ", events" for the core group: (groups resources, verbs[, names])
Entry = tuple[str, str] | tuple[str, str, str]


def allow(entry: Entry) -> Obj:
    """The PolicyRule of ``("GROUPS RESOURCES", "VERBS"[, "NAMES"])``; ``core`` is the core group."""
    what, verbs, *names = entry
    groups, resources = what.split()
    rule: Obj = {
        "apiGroups": ["" if group == "core" else group for group in groups.split(",")],
        "resources": resources.split(","),
        "verbs": verbs.split(),
    }
    if names:
        rule["resourceNames"] = names[0].split()
    return rule


def paths(*urls: str) -> Obj:
    """The PolicyRule to GET some paths."""
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


def allow_all(entries: Iterable[Entry]) -> list[Obj]:
    """The rules of a table."""
    return [allow(entry) for entry in entries]


def _metadata(name: str, namespace: str, labels: dict[str, str] | None = None) -> Obj:
    metadata: Obj = {
        "name": name,
        "labels": {**DEFAULTS_LABEL, **(labels or {})},
        "annotations": {AUTOUPDATE: "true"},
    }
    return {**metadata, "namespace": namespace} if namespace else metadata


def role(name: str, rules: Sequence[Obj], namespace: str = "", labels: dict[str, str] | None = None) -> Obj:
    """A Role, or without a namespace a ClusterRole."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = _metadata(name, namespace, labels)
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "rules": list(rules)}


def aggregated(name: str, labels: dict[str, str], *sources: str) -> Obj:
    """A ClusterRole that is the sum of those labelled ``aggregate-to-SOURCE``."""
    selectors = [{"matchLabels": {f"{AGGREGATE}{source}": "true"}} for source in sources]
    made = role(name, [], labels=labels)
    return {**made, "aggregationRule": {"clusterRoleSelectors": selectors}}


def user(name: str) -> Obj:
    """A User subject."""
    return {"kind": "User", "apiGroup": GROUP, "name": name}


def group(name: str) -> Obj:
    """A Group subject."""
    return {"kind": "Group", "apiGroup": GROUP, "name": name}


def service_account(name: str, namespace: str = "kube-system") -> Obj:
    """A ServiceAccount subject."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def bind(name: str, *subjects: Obj, to: str = "", namespace: str = "") -> Obj:
    """A binding of a (cluster) role of the same name, or of ``to``."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": "Role" if namespace else "ClusterRole", "name": to or name},
        "subjects": list(subjects),
    }
