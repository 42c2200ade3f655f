"""The API level 1.32 as clients see it."""

from __future__ import annotations

from kdist.api.scheme import Scheme

# plural, short names, group/version, kind; a star for cluster scope; categories behind a hash.
_SERVED = """
bindings - v1 Binding
componentstatuses cs v1 *ComponentStatus
configmaps cm v1 ConfigMap
endpoints ep v1 Endpoints
events ev v1 Event
limitranges limits v1 LimitRange
namespaces ns v1 *Namespace
nodes no v1 *Node
persistentvolumeclaims pvc v1 PersistentVolumeClaim
persistentvolumes pv v1 *PersistentVolume
pods po v1 Pod #all
podtemplates - v1 PodTemplate
replicationcontrollers rc v1 ReplicationController #all
resourcequotas quota v1 ResourceQuota
secrets - v1 Secret
serviceaccounts sa v1 ServiceAccount
services svc v1 Service #all
mutatingwebhookconfigurations - admissionregistration.k8s.io/v1 *MutatingWebhookConfiguration #api-extensions
validatingadmissionpolicies - admissionregistration.k8s.io/v1 *ValidatingAdmissionPolicy #api-extensions
validatingadmissionpolicybindings - admissionregistration.k8s.io/v1 *ValidatingAdmissionPolicyBinding #api-extensions
validatingwebhookconfigurations - admissionregistration.k8s.io/v1 *ValidatingWebhookConfiguration #api-extensions
customresourcedefinitions crd,crds apiextensions.k8s.io/v1 *CustomResourceDefinition #api-extensions
apiservices - apiregistration.k8s.io/v1 *APIService #api-extensions
controllerrevisions - apps/v1 ControllerRevision
daemonsets ds apps/v1 DaemonSet #all
deployments deploy apps/v1 Deployment #all
replicasets rs apps/v1 ReplicaSet #all
statefulsets sts apps/v1 StatefulSet #all
selfsubjectreviews - authentication.k8s.io/v1 *SelfSubjectReview
tokenreviews - authentication.k8s.io/v1 *TokenReview
localsubjectaccessreviews - authorization.k8s.io/v1 LocalSubjectAccessReview
selfsubjectaccessreviews - authorization.k8s.io/v1 *SelfSubjectAccessReview
selfsubjectrulesreviews - authorization.k8s.io/v1 *SelfSubjectRulesReview
subjectaccessreviews - authorization.k8s.io/v1 *SubjectAccessReview
horizontalpodautoscalers hpa autoscaling/v2 HorizontalPodAutoscaler #all
horizontalpodautoscalers hpa autoscaling/v1 HorizontalPodAutoscaler #all
cronjobs cj batch/v1 CronJob #all
jobs - batch/v1 Job #all
certificatesigningrequests csr certificates.k8s.io/v1 *CertificateSigningRequest
leases - coordination.k8s.io/v1 Lease
endpointslices - discovery.k8s.io/v1 EndpointSlice
events ev events.k8s.io/v1 Event
flowschemas - flowcontrol.apiserver.k8s.io/v1 *FlowSchema
prioritylevelconfigurations - flowcontrol.apiserver.k8s.io/v1 *PriorityLevelConfiguration
ingressclasses - networking.k8s.io/v1 *IngressClass
ingresses ing networking.k8s.io/v1 Ingress
networkpolicies netpol networking.k8s.io/v1 NetworkPolicy
runtimeclasses - node.k8s.io/v1 *RuntimeClass
poddisruptionbudgets pdb policy/v1 PodDisruptionBudget
clusterrolebindings - rbac.authorization.k8s.io/v1 *ClusterRoleBinding
clusterroles - rbac.authorization.k8s.io/v1 *ClusterRole
rolebindings - rbac.authorization.k8s.io/v1 RoleBinding
roles - rbac.authorization.k8s.io/v1 Role
priorityclasses pc scheduling.k8s.io/v1 *PriorityClass
csidrivers - storage.k8s.io/v1 *CSIDriver
csinodes - storage.k8s.io/v1 *CSINode
csistoragecapacities - storage.k8s.io/v1 CSIStorageCapacity
storageclasses sc storage.k8s.io/v1 *StorageClass
volumeattachments - storage.k8s.io/v1 *VolumeAttachment
"""


def test_the_level_serves_what_upstream_serves_by_default(scheme: Scheme) -> None:
    have = set()
    for r in scheme:
        short = ",".join(r.short_names) or "-"
        kind = r.kind if r.namespaced else f"*{r.kind}"
        have.add(" ".join([r.plural, short, r.api_version, kind, *(f"#{c}" for c in r.categories)]))
    assert have == set(_SERVED.strip().splitlines())


def test_keys_in_storage_are_where_operators_look_for_them(scheme: Scheme) -> None:
    def key(api_version: str, kind: str) -> str:
        resource = scheme.by_kind(api_version, kind)
        assert resource is not None
        return resource.key("ns", "x")

    assert key("v1", "Service") == "/registry/services/specs/ns/x"
    assert key("v1", "Endpoints") == "/registry/services/endpoints/ns/x"
    assert key("v1", "Node") == "/registry/minions/x"
    assert key("v1", "ReplicationController") == "/registry/controllers/ns/x"
    assert key("networking.k8s.io/v1", "Ingress") == "/registry/ingress/ns/x"
    assert key("events.k8s.io/v1", "Event") == "/registry/events/ns/x"
    assert key("apiregistration.k8s.io/v1", "APIService") == "/registry/apiregistration.k8s.io/apiservices/x"


def test_versions_of_a_kind_share_their_storage(scheme: Scheme) -> None:
    old = scheme.by_path("autoscaling", "v1", "horizontalpodautoscalers")
    assert old is not None
    assert scheme.stored_as(old).version == "v2"
    assert scheme.groups()["autoscaling"] == ["v2", "v1"]


def test_schemas_know_keys_of_lists_and_types_of_values(scheme: Scheme) -> None:
    pod = scheme.schema("v1", "Pod")
    assert pod is not None
    containers = pod.properties["spec"].properties["containers"]
    assert (containers.merge_key, containers.list_type, containers.list_keys) == ("name", "map", ("name",))
    assert pod.properties["spec"].properties["volumes"].strategies == ("merge", "retainKeys")
    port = containers.items.properties["livenessProbe"].properties["httpGet"].properties["port"]  # type: ignore[union-attr]
    assert port.kind == "int-or-string"


def test_a_newer_level_serves_newer_resources() -> None:
    newer = Scheme.load("1.34")
    assert newer.by_path("networking.k8s.io", "v1", "servicecidrs") is not None
    assert "resize" in newer.by_kind("v1", "Pod").subresources  # type: ignore[union-attr]
