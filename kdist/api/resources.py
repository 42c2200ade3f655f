"""The built-in resources: names, scopes, verbs, subresources and where they lie in storage.

One row per served version. Rows of an API level are those whose kind the level's definitions publish (and
whose ``since`` it has reached), so the table can hold several levels at once. Storage prefixes are the ones
operators know from etcd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ_WRITE = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object. ``group`` and ``version`` are those of ``kind``, the body it takes."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    since: str = ""
    #: The feature gate without which it is not served.
    feature: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in one served version, as discovery describes it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: dict[str, Subresource] = field(default_factory=dict, hash=False, compare=False)
    #: Keys are this plus ``NAMESPACE/NAME`` or ``NAME``; empty for resources that are never stored.
    storage_prefix: str = ""
    #: ``GROUP/VERSION`` that objects are stored as, when another version of the kind shares the prefix.
    stored_as: str = ""
    since: str = ""
    #: The feature gate without which it is not served.
    feature: str = ""
    #: The kind of a collection where it is not that of an object and ``List``.
    collection_kind: str = ""
    #: Verbs that work, but that discovery does not tell of.
    unlisted_verbs: tuple[str, ...] = ()
    #: What users of this version are warned of; empty when there is nothing.
    deprecation: str = ""
    #: The API level from which on that holds for a built-in resource.
    deprecated_since: str = ""

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``deployments.apps``, or ``pods`` for the core group: how messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """The kind of a collection."""
        return self.collection_kind or f"{self.kind}List"

    def key(self, namespace: str, name: str = "") -> str:
        """The storage key of an object, or the prefix of its namespace's collection without a name."""
        space = f"{namespace}/" if self.namespaced and namespace else ""
        return f"{self.storage_prefix}{space}{name}"


_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", _READ_WRITE),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
    "log": ("", "v1", "Pod", ("get",)),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
}


def _subresource(text: str, group: str, version: str, kind: str) -> Subresource:
    name, _, feature = text.partition("?")
    if name == "proxy":
        return Subresource(name, group, version, f"{kind}ProxyOptions", _PROXY)
    coordinates = _SUBRESOURCES.get(name, (group, version, kind, _READ_WRITE))
    return Subresource(name, *coordinates, feature=feature)


@dataclass(frozen=True, slots=True)
class _Family:
    """The rows of one group and version share all but a few words."""

    group: str
    version: str

    def row(
        self,
        plural: str,
        kind: str,
        short: str = "",
        *,
        cluster: bool = False,
        categories: str = "",
        sub: str = "",
        verbs: tuple[str, ...] = ALL_VERBS,
        prefix: str | None = None,
        stored_as: str = "",
        since: str = "",
        feature: str = "",
        deprecated: str = "",
        instead: str = "",
    ) -> Resource:
        told = f"{self.group}/{self.version} {kind}".lstrip("/") + f" is deprecated in v{deprecated}+"
        subresources = [_subresource(s, self.group, self.version, kind) for s in sub.split()]
        stored = "get" in verbs and prefix != ""
        return Resource(
            group=self.group,
            version=self.version,
            plural=plural,
            singular=kind.lower(),
            kind=kind,
            namespaced=not cluster,
            verbs=verbs,
            short_names=tuple(short.split()),
            categories=tuple(categories.split()),
            subresources={s.name: s for s in subresources},
            storage_prefix=f"/registry/{prefix or plural}/" if stored else "",
            stored_as=stored_as,
            since=since,
            feature=feature,
            deprecation=(told + (f"; use {instead}" if instead else "")) if deprecated else "",
            deprecated_since=deprecated,
        )


def _core() -> Iterator[Resource]:
    row = _Family("", "v1").row
    yield row("bindings", "Binding", verbs=("create",))
    yield row(
        "componentstatuses",
        "ComponentStatus",
        "cs",
        cluster=True,
        verbs=("get", "list"),
        prefix="",
        deprecated="1.19",
    )
    yield row("configmaps", "ConfigMap", "cm")
    yield row(
        "endpoints",
        "Endpoints",
        "ep",
        prefix="services/endpoints",
        deprecated="1.33",
        instead="discovery.k8s.io/v1 EndpointSlice",
    )
    yield row("events", "Event", "ev")
    yield row("limitranges", "LimitRange", "limits")
    without_collection = tuple(v for v in ALL_VERBS if v != "deletecollection")
    yield row("namespaces", "Namespace", "ns", cluster=True, sub="finalize status", verbs=without_collection)
    yield row("nodes", "Node", "no", cluster=True, sub="proxy status", prefix="minions")
    yield row("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", sub="status")
    yield row("persistentvolumes", "PersistentVolume", "pv", cluster=True, sub="status")
    resize = "resize?InPlacePodVerticalScaling"
    pod = f"attach binding ephemeralcontainers eviction exec log portforward proxy {resize} status"
    yield row("pods", "Pod", "po", categories="all", sub=pod)
    yield row("podtemplates", "PodTemplate")
    controller = "ReplicationController"
    yield row(
        "replicationcontrollers", controller, "rc", categories="all", sub="scale status", prefix="controllers"
    )
    yield row("resourcequotas", "ResourceQuota", "quota", sub="status")
    yield row("secrets", "Secret")
    yield row("serviceaccounts", "ServiceAccount", "sa", sub="token")
    yield row("services", "Service", "svc", categories="all", sub="proxy status", prefix="services/specs")


def _apps_and_batch() -> Iterator[Resource]:
    row = _Family("apps", "v1").row
    yield row("controllerrevisions", "ControllerRevision")
    yield row("daemonsets", "DaemonSet", "ds", categories="all", sub="status")
    yield row("deployments", "Deployment", "deploy", categories="all", sub="scale status")
    yield row("replicasets", "ReplicaSet", "rs", categories="all", sub="scale status")
    yield row("statefulsets", "StatefulSet", "sts", categories="all", sub="scale status")
    yield _Family("events.k8s.io", "v1").row("events", "Event", "ev", stored_as="v1")
    yield from _reviews()
    scaler = "HorizontalPodAutoscaler"
    for version in ("v2", "v1"):
        row = _Family("autoscaling", version).row
        yield row(
            "horizontalpodautoscalers",
            scaler,
            "hpa",
            categories="all",
            sub="status",
            stored_as="" if version == "v2" else "autoscaling/v2",
        )
    row = _Family("batch", "v1").row
    yield row("cronjobs", "CronJob", "cj", categories="all", sub="status")
    yield row("jobs", "Job", categories="all", sub="status")


def _reviews() -> Iterator[Resource]:
    create = ("create",)
    row = _Family("authentication.k8s.io", "v1").row
    yield row("selfsubjectreviews", "SelfSubjectReview", cluster=True, verbs=create)
    yield row("tokenreviews", "TokenReview", cluster=True, verbs=create)
    row = _Family("authorization.k8s.io", "v1").row
    yield row("localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=create)
    yield row("selfsubjectaccessreviews", "SelfSubjectAccessReview", cluster=True, verbs=create)
    yield row("selfsubjectrulesreviews", "SelfSubjectRulesReview", cluster=True, verbs=create)
    yield row("subjectaccessreviews", "SubjectAccessReview", cluster=True, verbs=create)


def _cluster_policy() -> Iterator[Resource]:
    row = _Family("certificates.k8s.io", "v1").row
    yield row(
        "certificatesigningrequests", "CertificateSigningRequest", "csr", cluster=True, sub="approval status"
    )
    row = _Family("networking.k8s.io", "v1").row
    yield row("ingressclasses", "IngressClass", cluster=True)
    yield row("ingresses", "Ingress", "ing", sub="status", prefix="ingress")
    yield row("ipaddresses", "IPAddress", "ip", cluster=True, since="1.33")
    yield row("networkpolicies", "NetworkPolicy", "netpol")
    yield row("servicecidrs", "ServiceCIDR", cluster=True, sub="status", since="1.33")
    row = _Family("networking.k8s.io", "v1beta1").row
    yield row("ipaddresses", "IPAddress", "ip", cluster=True, stored_as="networking.k8s.io/v1", since="1.33")
    yield row(
        "servicecidrs",
        "ServiceCIDR",
        cluster=True,
        sub="status",
        stored_as="networking.k8s.io/v1",
        since="1.33",
    )
    yield _Family("policy", "v1").row("poddisruptionbudgets", "PodDisruptionBudget", "pdb", sub="status")
    row = _Family("rbac.authorization.k8s.io", "v1").row
    yield row("clusterrolebindings", "ClusterRoleBinding", cluster=True)
    yield row("clusterroles", "ClusterRole", cluster=True)
    yield row("rolebindings", "RoleBinding")
    yield row("roles", "Role")


def _storage_and_extensions() -> Iterator[Resource]:
    row = _Family("storage.k8s.io", "v1").row
    yield row("csidrivers", "CSIDriver", cluster=True)
    yield row("csinodes", "CSINode", cluster=True)
    yield row("csistoragecapacities", "CSIStorageCapacity")
    yield row("storageclasses", "StorageClass", "sc", cluster=True)
    yield row("volumeattachments", "VolumeAttachment", cluster=True, sub="status")
    yield row("volumeattributesclasses", "VolumeAttributesClass", "vac", cluster=True, since="1.34")
    row = _Family("admissionregistration.k8s.io", "v1").row
    extension = "api-extensions"
    for plural, kind, sub in (
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", ""),
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", "status"),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", ""),
        ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", ""),
    ):
        yield row(plural, kind, cluster=True, sub=sub, categories=extension)
    row = _Family("admissionregistration.k8s.io", "v1alpha1").row
    for plural, kind in (
        ("mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
        ("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
    ):
        yield row(plural, kind, cluster=True, categories=extension, feature="MutatingAdmissionPolicy")
    yield _extension(
        "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "crd crds"
    )


def _extension(group: str, plural: str, kind: str, short: str = "") -> Resource:
    return _Family(group, "v1").row(
        plural,
        kind,
        short,
        cluster=True,
        sub="status",
        categories="api-extensions",
        prefix=f"{group}/{plural}",
    )


def _scheduling_and_flow() -> Iterator[Resource]:
    yield _Family("scheduling.k8s.io", "v1").row("priorityclasses", "PriorityClass", "pc", cluster=True)
    yield _Family("coordination.k8s.io", "v1").row("leases", "Lease")
    yield _Family("node.k8s.io", "v1").row("runtimeclasses", "RuntimeClass", cluster=True)
    yield _Family("discovery.k8s.io", "v1").row("endpointslices", "EndpointSlice")
    row = _Family("flowcontrol.apiserver.k8s.io", "v1").row
    yield row("flowschemas", "FlowSchema", cluster=True, sub="status")
    yield row("prioritylevelconfigurations", "PriorityLevelConfiguration", cluster=True, sub="status")


def builtin_resources() -> tuple[Resource, ...]:
    """Every row; groups that are preferred when a name is ambiguous come first, as do preferred versions."""
    return (
        *_core(),
        _extension("apiregistration.k8s.io", "apiservices", "APIService"),
        *_apps_and_batch(),
        *_cluster_policy(),
        *_storage_and_extensions(),
        *_scheduling_and_flow(),
    )
