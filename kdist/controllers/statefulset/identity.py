"""What makes a StatefulSet's pods stick: names, ordinals and claims. Pure."""

from __future__ import annotations

import re
from copy import deepcopy

from kdist.api import meta
from kdist.api.kinds import PODS, STATEFUL_SETS
from kdist.api.meta import Obj
from kdist.controllers.pods import from_template
from kdist.controllers.revisions import REVISION_LABEL

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-(\d+)")


def ordinal(stateful_set: Obj, pod: Obj) -> int | None:
    """The pod's number, None for a pod with a foreign name."""
    match = _NAME.fullmatch(meta.name(pod))
    return int(match.group(2)) if match and match.group(1) == meta.name(stateful_set) else None


def first(stateful_set: Obj) -> int:
    """The lowest ordinal."""
    return int(meta.get(stateful_set, "spec.ordinals.start", 0))


def ordinals(stateful_set: Obj) -> range:
    """The ordinals that should have a pod."""
    start = first(stateful_set)
    return range(start, start + meta.get(stateful_set, "spec.replicas", 1))


def claim_name(template: Obj, pod_name: str) -> str:
    """The claim of one template for one pod."""
    return f"{meta.name(template)}-{pod_name}"


def pod(stateful_set: Obj, number: int, revision: Obj) -> Obj:
    """The pod of an ordinal from a revision's template."""
    template = deepcopy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    made = from_template(template, stateful_set, STATEFUL_SETS)
    name = f"{meta.name(stateful_set)}-{number}"
    metadata, spec = made["metadata"], made["spec"]
    del metadata["generateName"]
    metadata["name"] = name
    metadata["labels"].update({POD_NAME: name, POD_INDEX: str(number), REVISION_LABEL: meta.name(revision)})
    spec["hostname"] = name
    spec["subdomain"] = stateful_set["spec"].get("serviceName") or ""
    spec["volumes"] = _volumes(stateful_set, name, spec.get("volumes") or [])
    return made


def _volumes(stateful_set: Obj, pod_name: str, given: list[Obj]) -> list[Obj]:
    """The template's volumes, those of claim templates in place of others with the same name."""
    templates = meta.get(stateful_set, "spec.volumeClaimTemplates", ())
    ours = [
        {
            "name": meta.name(t),
            "persistentVolumeClaim": {"claimName": claim_name(t, pod_name), "readOnly": False},
        }
        for t in templates
    ]
    names = {v["name"] for v in ours}
    return ours + [v for v in given if v["name"] not in names]


def claims(stateful_set: Obj, pod_name: str) -> list[Obj]:
    """The claims of a pod, to be created where they are missing."""
    labels = meta.get(stateful_set, "spec.selector.matchLabels", {})
    made = []
    for template in meta.get(stateful_set, "spec.volumeClaimTemplates", ()):
        about = template.get("metadata") or {}
        made.append(
            {
                "metadata": {
                    "name": claim_name(template, pod_name),
                    "namespace": meta.namespace(stateful_set),
                    "labels": {**(about.get("labels") or {}), **labels},
                    "annotations": dict(about.get("annotations") or {}),
                },
                "spec": deepcopy(template["spec"]),
            }
        )
    return made


def claim_owners(stateful_set: Obj, claim: Obj, pod: Obj | None, condemned: bool) -> list[Obj] | None:
    """The claim's ownerReferences as the retention policy wants them; None when they are right already.

    With whenDeleted the set owns its claims; with whenScaled a pod that goes for good owns them instead, so
    that the garbage collector takes them with it.
    """
    policy = meta.get(stateful_set, "spec.persistentVolumeClaimRetentionPolicy", {})
    scaled, deleted = policy.get("whenScaled") == "Delete", policy.get("whenDeleted") == "Delete"
    wanted: list[Obj] = []
    if condemned and scaled and pod is not None:
        wanted = [meta.owner_ref(pod, PODS, controller=False)]
    elif deleted and not (condemned and not scaled):
        wanted = [meta.owner_ref(stateful_set, STATEFUL_SETS, controller=True)]
    before = claim["metadata"].get("ownerReferences") or []
    ours = {meta.uid(stateful_set), meta.uid(pod) if pod else ""}
    after = [r for r in before if r.get("uid") not in ours] + wanted
    return None if after == before else after


def matches(stateful_set: Obj, pod: Obj) -> bool:
    """Whether labels and volumes of a pod are still what its identity demands."""
    wanted = _volumes(stateful_set, meta.name(pod), [])
    have = {
        v["name"]: meta.get(v, "persistentVolumeClaim.claimName") for v in pod["spec"].get("volumes") or ()
    }
    stored = all(have.get(v["name"]) == v["persistentVolumeClaim"]["claimName"] for v in wanted)
    return stored and meta.labels(pod).get(POD_NAME) == meta.name(pod)
