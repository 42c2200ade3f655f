"""Fields that a feature gate guards: a gate that is off takes them out of what is written.

A field that the stored object has already stays, so that switching a gate off breaks nothing that runs. Nobody is
warned: an old server would not know the field either. The status of pods is not looked at: their agents write it.
The rules of one resource are compiled once into a tree of the fields whose gates are off; walking it touches only
what an object has of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdist.api.features import Features
from kdist.api.meta import Obj

#: Makes of a guarded value what is left of it with the gate off; None takes it out.
Reduce = Callable[[Any], Any]
_EACH = "[*]"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def _gone(value: Any) -> Any:
    return None


def _default_proc_mount(value: Any) -> Any:
    return "Default"  # early versions stored it, so that it cannot just go


def _own_namespace(reference: Obj) -> Obj | None:
    return None if reference.get("namespace") else reference


_REDUCE: dict[str, Reduce] = {
    "ProcMountType": _default_proc_mount,
    "CrossNamespaceVolumeDataSource": _own_namespace,
}

_AFFINITY = " ".join(
    f"affinity.{kind}.{when}.{key}"
    for kind in ("podAffinity", "podAntiAffinity")
    for when in (
        f"requiredDuringSchedulingIgnoredDuringExecution{_EACH}",
        f"preferredDuringSchedulingIgnoredDuringExecution{_EACH}.podAffinityTerm",
    )
    for key in ("matchLabelKeys", "mismatchLabelKeys")
)
#: Below a pod spec. ``C`` stands for each list of containers.
_POD_SPEC = {
    "UserNamespacesSupport": "hostUsers",
    "SupplementalGroupsPolicy": "securityContext.supplementalGroupsPolicy",
    "SELinuxChangePolicy": "securityContext.seLinuxChangePolicy",
    "PodLevelResources": "resources",
    "ProcMountType": "C.securityContext.procMount",
    "NodeInclusionPolicyInPodTopologySpread": "topologySpreadConstraints[*].nodeAffinityPolicy "
    "topologySpreadConstraints[*].nodeTaintsPolicy",
    "MatchLabelKeysInPodTopologySpread": "topologySpreadConstraints[*].matchLabelKeys",
    "MatchLabelKeysInPodAffinity": _AFFINITY,
    "DynamicResourceAllocation": "resourceClaims C.resources.claims",
    "ClusterTrustBundleProjection": "volumes[*].projected.sources[*].clusterTrustBundle",
    "InPlacePodVerticalScaling": "C.resizePolicy",
    "SidecarContainers": "initContainers[*].restartPolicy",
    "RecursiveReadOnlyMounts": "C.volumeMounts[*].recursiveReadOnly",
    "ContainerStopSignals": "C.lifecycle.stopSignal",
}
_JOB_SPEC = {
    "JobManagedBy": "managedBy",
    "JobPodReplacementPolicy": "podReplacementPolicy",
    "JobSuccessPolicy": "successPolicy",
    "JobBackoffLimitPerIndex": "backoffLimitPerIndex maxFailedIndexes",
}
_SCALING = "spec.behavior.scaleUp.tolerance spec.behavior.scaleDown.tolerance"
_TERMINATING = {"DeploymentReplicaSetTerminatingReplicas": "status.terminatingReplicas"}
_CLAIM_CLASS = (
    "spec.volumeAttributesClassName status.currentVolumeAttributesClassName status.modifyVolumeStatus"
)
_OWN: dict[tuple[str, str], dict[str, str]] = {
    ("", "persistentvolumeclaims"): {
        "VolumeAttributesClass": _CLAIM_CLASS,
        "CrossNamespaceVolumeDataSource": "spec.dataSourceRef",
    },
    ("", "persistentvolumes"): {"VolumeAttributesClass": "spec.volumeAttributesClassName"},
    ("", "services"): {"ServiceTrafficDistribution": "spec.trafficDistribution"},
    ("apps", "deployments"): _TERMINATING,
    ("apps", "replicasets"): _TERMINATING,
    ("apps", "statefulsets"): {
        "MaxUnavailableStatefulSet": "spec.updateStrategy.rollingUpdate.maxUnavailable"
    },
    ("autoscaling", "horizontalpodautoscalers"): {"HPAConfigurableTolerance": _SCALING},
    ("coordination.k8s.io", "leases"): {"CoordinatedLeaderElection": "spec.strategy spec.preferredHolder"},
    ("discovery.k8s.io", "endpointslices"): {"PreferSameTrafficDistribution": "endpoints[*].hints.forNodes"},
    ("storage.k8s.io", "csidrivers"): {
        "MutableCSINodeAllocatableCount": "spec.nodeAllocatableUpdatePeriodSeconds"
    },
    ("storage.k8s.io", "volumeattachments"): {
        "MutableCSINodeAllocatableCount": "status.attachError.errorCode status.detachError.errorCode"
    },
}
#: Where resources keep a pod spec, and where a job spec.
_POD_SPEC_AT = {
    ("", "pods"): "spec",
    ("", "podtemplates"): "template.spec",
    ("", "replicationcontrollers"): "spec.template.spec",
    ("apps", "daemonsets"): "spec.template.spec",
    ("apps", "deployments"): "spec.template.spec",
    ("apps", "replicasets"): "spec.template.spec",
    ("apps", "statefulsets"): "spec.template.spec",
    ("batch", "cronjobs"): "spec.jobTemplate.spec.template.spec",
    ("batch", "jobs"): "spec.template.spec",
}
_JOB_SPEC_AT = {("batch", "cronjobs"): "spec.jobTemplate.spec", ("batch", "jobs"): "spec"}

_Tree = dict[str, Any]


def _paths(text: str, below: str = "") -> Iterator[str]:
    for path in text.split():
        lists = [f"{name}{_EACH}." for name in _CONTAINERS] if path.startswith("C.") else [""]
        for head in lists:
            found = head + path.removeprefix("C.")
            yield f"{below}.{found}" if below else found


def guarded(group: str, plural: str) -> dict[str, list[str]]:
    """The guarded fields of a resource by gate; ``[*]`` is every item of a list."""
    at = (group, plural)
    found: dict[str, list[str]] = {}
    for table, places in ((_POD_SPEC, _POD_SPEC_AT), (_JOB_SPEC, _JOB_SPEC_AT)):
        for gate, text in table.items() if at in places else ():
            found.setdefault(gate, []).extend(_paths(text, places[at]))
    for gate, text in _OWN.get(at, {}).items():
        found.setdefault(gate, []).extend(_paths(text))
    return found


class GatedFields:
    """The guarded fields of one resource whose gates are off."""

    def __init__(self, group: str, plural: str, features: Features) -> None:
        paths = {gate: p for gate, p in guarded(group, plural).items() if not features(gate)}
        #: A gate is in use by what users ask for, not by what a status says.
        self._asked = {
            gate: [_steps(p) for p in every if not p.startswith("status.")] for gate, every in paths.items()
        }
        self._tree: _Tree = {}
        for gate, every in paths.items():
            for path in every:
                _grow(self._tree, _steps(path), gate)
        spec = _POD_SPEC_AT.get((group, plural))
        #: Where the pod spec is whose volumes may not come from images.
        self._imageless = spec.split(".") if spec and not features("ImageVolume") else None

    def __bool__(self) -> bool:
        return bool(self._tree) or self._imageless is not None

    def drop(self, new: Obj, old: Obj | None) -> None:
        """Take the fields out of ``new``, in place, that ``old`` does not use."""
        self._walk(new, self._tree, old)
        if self._imageless is not None:
            _drop_images(_below(new, self._imageless), _below(old or {}, self._imageless))

    def _walk(self, value: Obj, tree: _Tree, old: Obj | None) -> None:
        for key, below in tree.items():
            inner = value.get(key)
            if inner is None:
                continue
            if isinstance(below, str):
                self._reduce(value, key, below, old)
                continue
            each = below.get(_EACH)
            if each is not None:
                for item in inner if isinstance(inner, list) else ():
                    if isinstance(item, dict):
                        self._walk(item, each, old)
            elif isinstance(inner, dict):
                self._walk(inner, below, old)

    def _reduce(self, holder: Obj, key: str, gate: str, old: Obj | None) -> None:
        reduce = _REDUCE.get(gate, _gone)
        if old is not None and any(self._uses(old, steps, reduce) for steps in self._asked[gate]):
            return
        left = reduce(holder[key])
        if left is None:
            del holder[key]
        else:
            holder[key] = left

    @staticmethod
    def _uses(old: Any, steps: tuple[str, ...], reduce: Reduce) -> bool:
        return any(reduce(value) != value for value in _values(old, steps))


def _drop_images(spec: Obj, old: Obj) -> None:
    """Take out, in place, volumes from images and their mounts: a volume without a source would be another one."""
    dropped = _image_volumes(spec)
    if not dropped or _image_volumes(old):
        return
    spec["volumes"] = [v for v in spec["volumes"] if v.get("name") not in dropped]
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            if mounts := container.get("volumeMounts"):
                container["volumeMounts"] = [m for m in mounts if m.get("name") not in dropped]


def _image_volumes(spec: Obj) -> set[str]:
    return {v.get("name") or "" for v in spec.get("volumes") or () if v.get("image") is not None}


def _below(obj: Obj, steps: list[str]) -> Obj:
    for step in steps:
        obj = obj.get(step) or {}
    return obj


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.replace(_EACH, f".{_EACH}").split("."))


def _grow(tree: _Tree, steps: tuple[str, ...], gate: str) -> None:
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
    tree[steps[-1]] = gate


def _values(value: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    if not steps:
        if value is not None:
            yield value
    elif steps[0] == _EACH:
        for item in value if isinstance(value, list) else ():
            yield from _values(item, steps[1:])
    elif isinstance(value, dict) and steps[0] in value:
        yield from _values(value[steps[0]], steps[1:])
