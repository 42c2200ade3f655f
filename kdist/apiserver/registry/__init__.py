"""Per-resource rules: one strategy per resource, generic rules for the rest."""

from __future__ import annotations

from kdist.api import features as gates
from kdist.api.features import Features
from kdist.api.resources import Resource
from kdist.api.schema import ANY, Schema
from kdist.apiserver.registry import (
    admissionpolicies,
    autoscalers,
    batch,
    certificates,
    cluster,
    config,
    controllerrevisions,
    csi,
    daemonsets,
    deployments,
    endpoints,
    events,
    extensions,
    ingresses,
    networkpolicies,
    nodes,
    persistentvolumeclaims,
    persistentvolumes,
    pods,
    podtemplates,
    policies,
    quotas,
    rbac,
    replicasets,
    serviceranges,
    services,
    statefulsets,
    storagecapacity,
    storageclasses,
)
from kdist.apiserver.registry.base import Strategy

__all__ = ["Strategy", "strategy_for"]

_NETWORK = "networking.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"

_STRATEGIES: dict[tuple[str, str], type[Strategy]] = {
    ("", "configmaps"): config.ConfigMapStrategy,
    ("", "endpoints"): endpoints.EndpointsStrategy,
    ("", "events"): events.EventStrategy,
    ("", "limitranges"): quotas.LimitRangeStrategy,
    ("", "namespaces"): cluster.NamespaceStrategy,
    ("", "nodes"): nodes.NodeStrategy,
    ("", "persistentvolumeclaims"): persistentvolumeclaims.PersistentVolumeClaimStrategy,
    ("", "persistentvolumes"): persistentvolumes.PersistentVolumeStrategy,
    ("", "pods"): pods.PodStrategy,
    ("", "podtemplates"): podtemplates.PodTemplateStrategy,
    ("", "replicationcontrollers"): replicasets.ReplicationControllerStrategy,
    ("", "resourcequotas"): quotas.ResourceQuotaStrategy,
    ("", "secrets"): config.SecretStrategy,
    ("", "serviceaccounts"): config.ServiceAccountStrategy,
    ("", "services"): services.ServiceStrategy,
    ("apps", "controllerrevisions"): controllerrevisions.ControllerRevisionStrategy,
    ("apps", "daemonsets"): daemonsets.DaemonSetStrategy,
    ("apps", "deployments"): deployments.DeploymentStrategy,
    ("apps", "replicasets"): replicasets.ReplicaSetStrategy,
    ("apps", "statefulsets"): statefulsets.StatefulSetStrategy,
    ("autoscaling", "horizontalpodautoscalers"): autoscalers.HorizontalPodAutoscalerStrategy,
    ("batch", "cronjobs"): batch.CronJobStrategy,
    ("batch", "jobs"): batch.JobStrategy,
    ("certificates.k8s.io", "certificatesigningrequests"): certificates.CertificateSigningRequestStrategy,
    ("coordination.k8s.io", "leases"): cluster.LeaseStrategy,
    ("discovery.k8s.io", "endpointslices"): endpoints.EndpointSliceStrategy,
    ("events.k8s.io", "events"): events.EventStrategy,
    ("node.k8s.io", "runtimeclasses"): cluster.RuntimeClassStrategy,
    ("policy", "poddisruptionbudgets"): policies.PodDisruptionBudgetStrategy,
    ("scheduling.k8s.io", "priorityclasses"): cluster.PriorityClassStrategy,
    ("apiextensions.k8s.io", "customresourcedefinitions"): extensions.CustomResourceDefinitionStrategy,
    ("apiregistration.k8s.io", "apiservices"): extensions.APIServiceStrategy,
    (_ADMISSION, "mutatingadmissionpolicies"): admissionpolicies.MutatingPolicyStrategy,
    (_ADMISSION, "mutatingadmissionpolicybindings"): admissionpolicies.MutatingPolicyBindingStrategy,
    (_ADMISSION, "mutatingwebhookconfigurations"): extensions.WebhookStrategy,
    (_ADMISSION, "validatingadmissionpolicies"): admissionpolicies.AdmissionPolicyStrategy,
    (_ADMISSION, "validatingadmissionpolicybindings"): admissionpolicies.AdmissionPolicyBindingStrategy,
    (_ADMISSION, "validatingwebhookconfigurations"): extensions.WebhookStrategy,
    (_FLOW, "flowschemas"): policies.FlowSchemaStrategy,
    (_FLOW, "prioritylevelconfigurations"): policies.PriorityLevelStrategy,
    (_NETWORK, "ingressclasses"): ingresses.IngressClassStrategy,
    (_NETWORK, "ingresses"): ingresses.IngressStrategy,
    (_NETWORK, "ipaddresses"): serviceranges.IPAddressStrategy,
    (_NETWORK, "networkpolicies"): networkpolicies.NetworkPolicyStrategy,
    (_NETWORK, "servicecidrs"): serviceranges.ServiceCIDRStrategy,
    (_RBAC, "clusterrolebindings"): rbac.RoleBindingStrategy,
    (_RBAC, "clusterroles"): rbac.RoleStrategy,
    (_RBAC, "rolebindings"): rbac.RoleBindingStrategy,
    (_RBAC, "roles"): rbac.RoleStrategy,
    (_STORAGE, "csidrivers"): csi.CSIDriverStrategy,
    (_STORAGE, "csinodes"): csi.CSINodeStrategy,
    (_STORAGE, "csistoragecapacities"): storagecapacity.CSIStorageCapacityStrategy,
    (_STORAGE, "storageclasses"): storageclasses.StorageClassStrategy,
    (_STORAGE, "volumeattachments"): csi.VolumeAttachmentStrategy,
}


def strategy_for(resource: Resource, schema: Schema = ANY, features: Features = gates.DEFAULT) -> Strategy:
    """The rules of a resource, which check required fields by ``schema``; call once and keep the result."""
    return _STRATEGIES.get((resource.group, resource.plural), Strategy)(resource, schema, features)
