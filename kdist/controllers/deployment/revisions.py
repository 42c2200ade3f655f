"""Which ReplicaSet has the Deployment's template, and what its annotations say. Pure.

A Deployment's history is its ReplicaSets, numbered by an annotation; a rollback is an old one becoming the newest
again because its template matches.
"""

from __future__ import annotations

from copy import deepcopy

from kdist.api import meta
from kdist.api.kinds import DEPLOYMENTS
from kdist.api.meta import Obj
from kdist.controllers.hashing import canonical, short_hash

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
# Said about the Deployment itself, not about a revision of it.
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
}
_HISTORY_CHARACTERS = 2000


def same_template(left: Obj, right: Obj) -> bool:
    """Whether two pod templates are equal, the hash label apart."""
    return bool(_comparable(left) == _comparable(right))


def _comparable(template: Obj) -> Obj:
    copied = deepcopy(template)
    meta.get(copied, "metadata.labels", {}).pop(HASH_LABEL, None)
    cleaned: Obj = canonical(copied)
    return cleaned


def by_age(sets: list[Obj]) -> list[Obj]:
    """Oldest first; the name decides between equals."""
    return sorted(sets, key=lambda s: (meta.get(s, "metadata.creationTimestamp", ""), meta.name(s)))


def find_new(deployment: Obj, sets: list[Obj]) -> Obj | None:
    """The ReplicaSet of the current template; the oldest one should there be several."""
    template = deployment["spec"]["template"]
    return next((s for s in by_age(sets) if same_template(s["spec"]["template"], template)), None)


def revision(obj: Obj) -> int:
    """The revision annotation as a number, 0 when there is none."""
    text = meta.annotations(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def next_revision(old: list[Obj]) -> int:
    """One more than the newest of the old ReplicaSets."""
    return max((revision(s) for s in old), default=0) + 1


def annotated(deployment: Obj, replica_set: Obj, number: int) -> dict[str, str]:
    """The annotations that the new ReplicaSet should have: the Deployment's own and its revision."""
    about = meta.annotations(deployment)
    result = {**meta.annotations(replica_set), **{k: v for k, v in about.items() if k not in _NOT_COPIED}}
    before = revision(replica_set)
    if before < number:
        result[REVISION] = str(number)
        if before:
            known = result.get(REVISION_HISTORY, "")
            history = f"{known},{before}" if known else str(before)
            while len(history) > _HISTORY_CHARACTERS:
                history = history.partition(",")[2]
            result[REVISION_HISTORY] = history
    return result


def scale_annotations(deployment: Obj, surge: int) -> dict[str, str]:
    """What a ReplicaSet remembers of the size of the whole, for scaling in proportion."""
    wanted = meta.get(deployment, "spec.replicas", 1)
    return {DESIRED: str(wanted), MAX: str(wanted + surge)}


def make(deployment: Obj, number: int, replicas: int, surge: int) -> Obj:
    """The ReplicaSet of the current template, to be created."""
    spec, template = deployment["spec"], deepcopy(deployment["spec"]["template"])
    digest = short_hash(template, meta.get(deployment, "status.collisionCount", 0))
    about = template.setdefault("metadata", {})
    about["labels"] = {**(about.get("labels") or {}), HASH_LABEL: digest}
    about.pop("creationTimestamp", None)
    selector = deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    made: Obj = {
        "metadata": {
            "name": f"{meta.name(deployment)}-{digest}",
            "namespace": meta.namespace(deployment),
            "labels": dict(about["labels"]),
            "ownerReferences": [meta.owner_ref(deployment, DEPLOYMENTS)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": selector,
            "template": template,
        },
    }
    annotations = {**annotated(deployment, made, number), **scale_annotations(deployment, surge)}
    made["metadata"]["annotations"] = annotations
    return made


def expendable(deployment: Obj, old: list[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond revisionHistoryLimit, oldest revision first, that have no pods left."""
    limit = meta.get(deployment, "spec.revisionHistoryLimit")
    alive = [s for s in old if not meta.is_deleting(s)]
    if limit is None or len(alive) <= limit:
        return []
    oldest = sorted(alive, key=lambda s: (revision(s), meta.get(s, "metadata.creationTimestamp", "")))
    return [s for s in oldest[: len(alive) - limit] if _is_empty(s)]


def _is_empty(replica_set: Obj) -> bool:
    status = replica_set.get("status") or {}
    seen = status.get("observedGeneration", 0) >= meta.get(replica_set, "metadata.generation", 0)
    return seen and not status.get("replicas") and not meta.get(replica_set, "spec.replicas", 1)
