"""The values that a string field may have, for the readers of the documents: what ``kubectl explain`` lists.

Only told here; what is refused is the business of each resource's strategy. A field ends in ``[]`` when the values
are its items', in ``{}`` when they are a map's.
"""

from __future__ import annotations

from typing import Any

from kdist.api.schema import Definitions
from kdist.apiserver.registry.certificates import USAGES

_PREFIXES = {"apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis."}
_ITEMS = {"[]": "items", "{}": "additionalProperties"}

# Values, and the fields that take them.
_VALUES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (
        ("Equivalent", "Exact"),
        (
            "admissionregistration.v1.MatchResources.matchPolicy",
            "admissionregistration.v1.MutatingWebhook.matchPolicy",
            "admissionregistration.v1.ValidatingWebhook.matchPolicy",
        ),
    ),
    (
        ("Fail", "Ignore"),
        (
            "admissionregistration.v1.MutatingWebhook.failurePolicy",
            "admissionregistration.v1.ValidatingAdmissionPolicySpec.failurePolicy",
            "admissionregistration.v1.ValidatingWebhook.failurePolicy",
        ),
    ),
    (("IfNeeded", "Never"), ("admissionregistration.v1.MutatingWebhook.reinvocationPolicy",)),
    (
        ("None", "NoneOnDryRun", "Some", "Unknown"),
        (
            "admissionregistration.v1.MutatingWebhook.sideEffects",
            "admissionregistration.v1.ValidatingWebhook.sideEffects",
        ),
    ),
    (
        ("*", "CONNECT", "CREATE", "DELETE", "UPDATE"),
        (
            "admissionregistration.v1.NamedRuleWithOperations.operations[]",
            "admissionregistration.v1.RuleWithOperations.operations[]",
        ),
    ),
    (
        ("Audit", "Deny", "Warn"),
        ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.validationActions[]",),
    ),
    (
        ("OnDelete", "RollingUpdate"),
        (
            "apps.v1.DaemonSetUpdateStrategy.type",
            "apps.v1.StatefulSetUpdateStrategy.type",
        ),
    ),
    (("Recreate", "RollingUpdate"), ("apps.v1.DeploymentStrategy.type",)),
    (("OrderedReady", "Parallel"), ("apps.v1.StatefulSetSpec.podManagementPolicy",)),
    (("Allow", "Forbid", "Replace"), ("batch.v1.CronJobSpec.concurrencyPolicy",)),
    (("Indexed", "NonIndexed"), ("batch.v1.JobSpec.completionMode",)),
    (("Failed", "TerminatingOrFailed"), ("batch.v1.JobSpec.podReplacementPolicy",)),
    (("In", "NotIn"), ("batch.v1.PodFailurePolicyOnExitCodesRequirement.operator",)),
    (("Count", "FailIndex", "FailJob", "Ignore"), ("batch.v1.PodFailurePolicyRule.action",)),
    (USAGES, ("certificates.v1.CertificateSigningRequestSpec.usages[]",)),
    (
        ("Localhost", "RuntimeDefault", "Unconfined"),
        (
            "core.v1.AppArmorProfile.type",
            "core.v1.SeccompProfile.type",
        ),
    ),
    (("None", "ReadOnly", "ReadWrite"), ("core.v1.AzureDiskVolumeSource.cachingMode",)),
    (("Dedicated", "Managed", "Shared"), ("core.v1.AzureDiskVolumeSource.kind",)),
    (
        ("Always", "IfNotPresent", "Never"),
        (
            "core.v1.Container.imagePullPolicy",
            "core.v1.EphemeralContainer.imagePullPolicy",
            "core.v1.ImageVolumeSource.pullPolicy",
        ),
    ),
    (
        ("FallbackToLogsOnError", "File"),
        (
            "core.v1.Container.terminationMessagePolicy",
            "core.v1.EphemeralContainer.terminationMessagePolicy",
        ),
    ),
    (
        ("SCTP", "TCP", "UDP"),
        (
            "core.v1.ContainerPort.protocol",
            "core.v1.EndpointPort.protocol",
            "core.v1.PortStatus.protocol",
            "core.v1.ServicePort.protocol",
            "discovery.v1.EndpointPort.protocol",
            "networking.v1.IngressPortStatus.protocol",
            "networking.v1.NetworkPolicyPort.protocol",
        ),
    ),
    (("HTTP", "HTTPS"), ("core.v1.HTTPGetAction.scheme",)),
    (
        ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
        ("core.v1.HostPathVolumeSource.type",),
    ),
    (("InProgress", "Infeasible", "Pending"), ("core.v1.ModifyVolumeStatus.status",)),
    (("Active", "Terminating"), ("core.v1.NamespaceStatus.phase",)),
    (("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"), ("core.v1.NodeSelectorRequirement.operator",)),
    (("Pending", "Running", "Terminated"), ("core.v1.NodeStatus.phase",)),
    (
        ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"),
        (
            "core.v1.PersistentVolumeClaimSpec.accessModes[]",
            "core.v1.PersistentVolumeClaimStatus.accessModes[]",
            "core.v1.PersistentVolumeSpec.accessModes[]",
        ),
    ),
    (
        ("Block", "Filesystem"),
        (
            "core.v1.PersistentVolumeClaimSpec.volumeMode",
            "core.v1.PersistentVolumeSpec.volumeMode",
        ),
    ),
    (
        (
            "ControllerResizeInProgress",
            "ControllerResizeInfeasible",
            "NodeResizeInProgress",
            "NodeResizeInfeasible",
            "NodeResizePending",
        ),
        ("core.v1.PersistentVolumeClaimStatus.allocatedResourceStatuses{}",),
    ),
    (("Bound", "Lost", "Pending"), ("core.v1.PersistentVolumeClaimStatus.phase",)),
    (
        ("Delete", "Recycle", "Retain"),
        (
            "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy",
            "storage.v1.StorageClass.reclaimPolicy",
        ),
    ),
    (("Available", "Bound", "Failed", "Pending", "Released"), ("core.v1.PersistentVolumeStatus.phase",)),
    (("Always", "OnRootMismatch"), ("core.v1.PodSecurityContext.fsGroupChangePolicy",)),
    (("Merge", "Strict"), ("core.v1.PodSecurityContext.supplementalGroupsPolicy",)),
    (("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"), ("core.v1.PodSpec.dnsPolicy",)),
    (
        ("Never", "PreemptLowerPriority"),
        (
            "core.v1.PodSpec.preemptionPolicy",
            "scheduling.v1.PriorityClass.preemptionPolicy",
        ),
    ),
    (("Always", "Never", "OnFailure"), ("core.v1.PodSpec.restartPolicy",)),
    (("Failed", "Pending", "Running", "Succeeded", "Unknown"), ("core.v1.PodStatus.phase",)),
    (("BestEffort", "Burstable", "Guaranteed"), ("core.v1.PodStatus.qosClass",)),
    (
        (
            "BestEffort",
            "CrossNamespacePodAffinity",
            "NotBestEffort",
            "NotTerminating",
            "PriorityClass",
            "Terminating",
        ),
        (
            "core.v1.ResourceQuotaSpec.scopes[]",
            "core.v1.ScopedResourceSelectorRequirement.scopeName",
        ),
    ),
    (("DoesNotExist", "Exists", "In", "NotIn"), ("core.v1.ScopedResourceSelectorRequirement.operator",)),
    (("Default", "Unmasked"), ("core.v1.SecurityContext.procMount",)),
    (
        ("Cluster", "Local"),
        (
            "core.v1.ServiceSpec.externalTrafficPolicy",
            "core.v1.ServiceSpec.internalTrafficPolicy",
        ),
    ),
    (("", "IPv4", "IPv6"), ("core.v1.ServiceSpec.ipFamilies[]",)),
    (("PreferDualStack", "RequireDualStack", "SingleStack"), ("core.v1.ServiceSpec.ipFamilyPolicy",)),
    (("ClientIP", "None"), ("core.v1.ServiceSpec.sessionAffinity",)),
    (("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"), ("core.v1.ServiceSpec.type",)),
    (
        ("NoExecute", "NoSchedule", "PreferNoSchedule"),
        (
            "core.v1.Taint.effect",
            "core.v1.Toleration.effect",
        ),
    ),
    (("Equal", "Exists"), ("core.v1.Toleration.operator",)),
    (
        ("Honor", "Ignore"),
        (
            "core.v1.TopologySpreadConstraint.nodeAffinityPolicy",
            "core.v1.TopologySpreadConstraint.nodeTaintsPolicy",
        ),
    ),
    (("DoNotSchedule", "ScheduleAnyway"), ("core.v1.TopologySpreadConstraint.whenUnsatisfiable",)),
    (("Bidirectional", "HostToContainer", "None"), ("core.v1.VolumeMount.mountPropagation",)),
    (("FQDN", "IPv4", "IPv6"), ("discovery.v1.EndpointSlice.addressType",)),
    (("Exact", "ImplementationSpecific", "Prefix"), ("networking.v1.HTTPIngressPath.pathType",)),
    (("Egress", "Ingress"), ("networking.v1.NetworkPolicySpec.policyTypes[]",)),
    (("AlwaysAllow", "IfHealthyBudget"), ("policy.v1.PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",)),
    (("Immediate", "WaitForFirstConsumer"), ("storage.v1.StorageClass.volumeBindingMode",)),
    (
        ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"),
        ("apiextensions.v1.ValidationRule.reason",),
    ),
]


def completed(definitions: Definitions) -> Definitions:
    """The definitions with the values told; those of the argument stay as they are."""
    told = dict(definitions)
    for values, fields in _VALUES:
        for field in fields:
            definition, _, name = field.rpartition(".")
            full = _PREFIXES.get(definition.partition(".")[0], "io.k8s.api.") + definition
            if full in told:  # older levels know fewer
                told[full] = _with(told[full], name, list(values))
    return told


def _with(definition: dict[str, Any], field: str, values: list[str]) -> dict[str, Any]:
    name, inner = field.rstrip("[]{}"), _ITEMS.get(field[-2:])
    properties = dict(definition["properties"])
    if name not in properties:
        return definition
    schema = properties[name]
    enumerated = {**(schema[inner] if inner else schema), "enum": values}
    properties[name] = {**schema, inner: enumerated} if inner else enumerated
    return {**definition, "properties": properties}
