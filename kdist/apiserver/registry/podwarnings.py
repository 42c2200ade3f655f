"""What a pod may say, but should not: texts for the Warning header.

Each names the field and what to use instead; nothing here refuses anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import quantity
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.apiserver.registry import oddaddresses
from kdist.apiserver.registry.pathwarnings import of_overlaps
from kdist.apiserver.validation import names

HOSTNAME = "the Pod's hostname, which can result in surprising behavior"
POD_NAMES = "Pod names and hostnames, which can result in surprising behavior"
_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_GONE_VOLUMES = {
    "cephfs": "cephfs: deprecated in v1.28, non-functional in v1.31+",
    "flocker": "flocker: deprecated in v1.22, non-functional in v1.25+",
    "gitRepo": "gitRepo: deprecated in v1.11",
    "glusterfs": "glusterfs: deprecated in v1.25, non-functional in v1.26+",
    "photonPersistentDisk": "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
    "quobyte": "quobyte: deprecated in v1.22, non-functional in v1.25+",
    "rbd": "rbd: deprecated in v1.28, non-functional in v1.31+",
    "scaleIO": "scaleIO: deprecated in v1.16, non-functional in v1.22+",
    "storageos": "storageOS: deprecated in v1.22, non-functional in v1.25+",
}
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_USE_FIELD = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_NULL_SELECTOR = "a null labelSelector results in matching no pod"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def of_name(name: str, told: str) -> list[str]:
    """For names that become host names."""
    complaints = names.dns_label_of_host(name) if name else []
    listed = ", ".join(complaints)
    return (
        [f"metadata.name: this is used in {told}; a DNS label is recommended: [{listed}]"]
        if complaints
        else []
    )


def of_template(template: Obj, field: str, features: Features) -> list[str]:
    """For a PodTemplateSpec at ``field``, or for a whole pod when that is empty."""
    prefix = f"{field}." if field else ""
    spec = template.get("spec") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    newer = features.reached("1.33")  # before, only Services told of addresses
    return [
        *_of_annotations(annotations, spec, f"{prefix}metadata"),
        *_of_spec(spec, f"{prefix}spec"),
        *(oddaddresses.of_addresses(_addresses(spec, f"{prefix}spec"), features) if newer else ()),
    ]


def _addresses(spec: Obj, field: str) -> Iterator[tuple[str, str]]:
    """What users write down as addresses, with its place."""
    for at, alias in enumerate(spec.get("hostAliases") or ()):
        yield f"{field}.hostAliases[{at}].ip", alias.get("ip") or ""
    for at, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield f"{field}.dnsConfig.nameservers[{at}]", server


def _of_annotations(annotations: Obj, spec: Obj, field: str) -> Iterator[str]:
    has_context = (spec.get("securityContext") or {}).get("seccompProfile")
    if _SECCOMP in annotations and not has_context:
        instead = 'use the "seccompProfile" field instead'
        yield f"{field}.annotations[{_SECCOMP}]: non-functional in v1.27+; {instead}"
    # Of pods of their own it is :func:`of_profiles` that knows what the client sent.
    if field != "metadata" and any(key.startswith(_APPARMOR) for key in annotations):
        yield from _of_apparmor(annotations, spec, field)


def _of_apparmor(annotations: Obj, spec: Obj, field: str) -> Iterator[str]:
    if (spec.get("securityContext") or {}).get("appArmorProfile") is not None:
        return
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            key = _APPARMOR + (container.get("name") or "")
            named = (container.get("securityContext") or {}).get("appArmorProfile")
            if key in annotations and named is None:
                yield f"{field}.annotations[{key}]: {_USE_FIELD}"


def of_profiles(pod: Obj) -> list[str]:
    """For a new pod whose client says AppArmor profiles in annotations alone.

    By now fields and annotations agree; who set them tells what the client sent.
    """
    metadata = pod.get("metadata") or {}
    told = [key for key in metadata.get("annotations") or () if key.startswith(_APPARMOR)]
    if not told:
        return []
    sent: set[str] = set()
    owned = ""
    for entry in metadata.get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        sent |= (fields.get("f:metadata") or {}).get("f:annotations", {}).keys()
        owned += str(fields.get("f:spec"))
    if "f:appArmorProfile" in owned:
        return []
    return [f"metadata.annotations[{key}]: {_USE_FIELD}" for key in told if f"f:{key}" in sent]


def _of_spec(spec: Obj, field: str) -> Iterator[str]:
    for key, told in _NODE_LABELS.items():
        if key in (spec.get("nodeSelector") or {}):
            yield f"{field}.nodeSelector[{key}]: {told}"
    yield from _of_aliases(spec.get("hostAliases") or [], f"{field}.hostAliases")
    yield from _of_pull_secrets(spec.get("imagePullSecrets") or [], f"{field}.imagePullSecrets")
    for at, volume in enumerate(spec.get("volumes") or ()):
        for source in volume.keys() & _GONE_VOLUMES.keys():
            yield f"{field}.volumes[{at}].{_GONE_VOLUMES[source]}"
    yield from of_overlaps(spec.get("volumes") or [])
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            yield from _of_container(container, f"{field}.{kind}[{at}]")
    yield from _of_ports(spec, field)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        told = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{field}.terminationGracePeriodSeconds: {told}"
    yield from _of_affinity(spec.get("affinity") or {}, f"{field}.affinity")
    for at, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if constraint.get("labelSelector") is None:
            yield f"{field}.topologySpreadConstraints[{at}].labelSelector: {_NULL_SELECTOR}"


def _of_aliases(aliases: list[Obj], field: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, alias in enumerate(aliases):
        address = alias.get("ip") or ""
        if address in seen:
            yield f'{field}[{at}].ip: duplicate ip "{address}"'
        seen.add(address)


def _of_pull_secrets(references: list[Obj], field: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, reference in enumerate(references):
        name = reference.get("name") or ""
        if not name:
            yield f'{field}[{at}].name: invalid empty name ""'
        elif name in seen:
            yield f'{field}[{at}].name: duplicate name "{name}"'
        seen.add(name)


def _of_container(container: Obj, field: str) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name, amount in ((container.get("resources") or {}).get(side) or {}).items():
            if name in ("memory", "ephemeral-storage") and quantity.parse(amount) % 1:
                told = f'fractional byte value "{amount}" is invalid, must be an integer'
                yield f"{field}.resources.{side}[{name}]: {told}"
    yield from _of_variables(container.get("env") or [], f"{field}.env")
    for at, port in enumerate(container.get("ports") or ()):
        if port.get("hostIP") and not port.get("hostPort"):
            shown = (
                f"{{Name:{port.get('name', '')} HostPort:0 ContainerPort:{port.get('containerPort', 0)} "
                f"Protocol:{port.get('protocol', '')} HostIP:{port['hostIP']}}}"
            )
            yield f"{field}.ports[{at}]: hostIP set without hostPort: {shown}"


def _of_ports(spec: Obj, field: str) -> Iterator[str]:
    """Ports that several containers, or one of them twice, say they listen on."""
    seen: dict[tuple[int, str], list[tuple[str, Obj]]] = {}
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            for number, port in enumerate(container.get("ports") or ()):
                where = f"{field}.{kind}[{at}].ports[{number}]"
                same = seen.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
                for other_where, other in same:
                    if told := _clash(port, other):
                        yield f"{where}: {told} port definition with {other_where}"
                same.append((where, port))


def _clash(port: Obj, other: Obj) -> str:
    """What two definitions of one container port are to each other, if anything."""
    host, address = port.get("hostPort") or 0, port.get("hostIP") or ""
    other_host, other_address = other.get("hostPort") or 0, other.get("hostIP") or ""
    if (host, address) == (other_host, other_address):
        return "duplicate"
    if not host or not other_host:
        return "overlapping"
    if host == other_host and (not address or not other_address):
        return "dangerously ambiguous"
    return ""


def _of_variables(variables: list[Obj], field: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, variable in enumerate(variables):
        name = variable.get("name") or ""
        if name in seen:
            told = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{field}[{at}]: {told}"
        seen.add(name)


def _of_affinity(affinity: Obj, field: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        for at, term in enumerate(rules.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{field}.{kind}.{_REQUIRED}[{at}].labelSelector: {_NULL_SELECTOR}"
        for at, weighted in enumerate(rules.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{field}.{kind}.{_PREFERRED}[{at}].podAffinityTerm.labelSelector: {_NULL_SELECTOR}"
