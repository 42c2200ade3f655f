"""Objects as meta.k8s.io/v1 Tables: what ``kubectl get`` prints, with upstream's columns for built-in kinds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.apiserver.tables import core, network, storage, workloads
from kdist.apiserver.tables.columns import Printer, printer
from kdist.apiserver.tables.pods import POD

__all__ = ["render"]

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_STORAGE = "storage.k8s.io"
_NETWORK = "networking.k8s.io"

_PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "ComponentStatus"): core.COMPONENT_STATUS,
    ("", "ConfigMap"): core.CONFIG_MAP,
    ("", "Endpoints"): network.ENDPOINTS,
    ("", "Event"): core.EVENT,
    ("", "Namespace"): core.NAMESPACE,
    ("", "Node"): core.NODE,
    ("", "PersistentVolume"): storage.PERSISTENT_VOLUME,
    ("", "PersistentVolumeClaim"): storage.PERSISTENT_VOLUME_CLAIM,
    ("", "Pod"): POD,
    ("", "PodTemplate"): workloads.POD_TEMPLATE,
    ("", "ReplicationController"): workloads.REPLICATION_CONTROLLER,
    ("", "ResourceQuota"): core.RESOURCE_QUOTA,
    ("", "Secret"): core.SECRET,
    ("", "Service"): network.SERVICE,
    ("", "ServiceAccount"): core.SERVICE_ACCOUNT,
    (_ADMISSION, "MutatingAdmissionPolicy"): core.MUTATING_ADMISSION_POLICY,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): core.VALIDATING_ADMISSION_POLICY_BINDING,
    (_ADMISSION, "MutatingWebhookConfiguration"): core.WEBHOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): core.VALIDATING_ADMISSION_POLICY,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): core.VALIDATING_ADMISSION_POLICY_BINDING,
    (_ADMISSION, "ValidatingWebhookConfiguration"): core.WEBHOOKS,
    ("apiregistration.k8s.io", "APIService"): core.API_SERVICE,
    ("apps", "ControllerRevision"): workloads.CONTROLLER_REVISION,
    ("apps", "DaemonSet"): workloads.DAEMON_SET,
    ("apps", "Deployment"): workloads.DEPLOYMENT,
    ("apps", "ReplicaSet"): workloads.REPLICA_SET,
    ("apps", "StatefulSet"): workloads.STATEFUL_SET,
    ("autoscaling", "HorizontalPodAutoscaler"): workloads.HORIZONTAL_POD_AUTOSCALER,
    ("batch", "CronJob"): workloads.CRON_JOB,
    ("batch", "Job"): workloads.JOB,
    ("certificates.k8s.io", "CertificateSigningRequest"): core.CERTIFICATE_SIGNING_REQUEST,
    ("coordination.k8s.io", "Lease"): core.LEASE,
    ("discovery.k8s.io", "EndpointSlice"): network.ENDPOINT_SLICE,
    ("events.k8s.io", "Event"): core.EVENT,
    (_FLOW, "FlowSchema"): core.FLOW_SCHEMA,
    (_FLOW, "PriorityLevelConfiguration"): core.PRIORITY_LEVEL,
    (_NETWORK, "Ingress"): network.INGRESS,
    (_NETWORK, "IngressClass"): network.INGRESS_CLASS,
    (_NETWORK, "IPAddress"): network.IP_ADDRESS,
    (_NETWORK, "NetworkPolicy"): network.NETWORK_POLICY,
    (_NETWORK, "ServiceCIDR"): network.SERVICE_CIDR,
    ("node.k8s.io", "RuntimeClass"): core.RUNTIME_CLASS,
    ("policy", "PodDisruptionBudget"): workloads.POD_DISRUPTION_BUDGET,
    (_RBAC, "ClusterRoleBinding"): core.ROLE_BINDING,
    (_RBAC, "RoleBinding"): core.ROLE_BINDING,
    ("scheduling.k8s.io", "PriorityClass"): core.PRIORITY_CLASS,
    (_STORAGE, "CSIDriver"): storage.CSI_DRIVER,
    (_STORAGE, "CSINode"): storage.CSI_NODE,
    (_STORAGE, "StorageClass"): storage.STORAGE_CLASS,
    (_STORAGE, "VolumeAttachment"): storage.VOLUME_ATTACHMENT,
}


@printer("Created At:date")
def _GENERIC(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), meta.get(obj, "metadata.creationTimestamp", "")]


def render(
    resource: Resource,
    objects: list[Obj],
    include_object: str = "Metadata",
    now: datetime | None = None,
    custom: Printer | None = None,
) -> Obj:
    """A Table with one row per object.

    ``include_object`` is the request's includeObject: None, Metadata or Object. The caller sets the Table's
    metadata. Kinds without columns of their own show the time of their creation. ``custom`` is the printer of a
    custom resource.
    """
    found = custom or _PRINTERS.get((resource.group, resource.kind), _GENERIC)
    moment = now or datetime.now(UTC)
    rows: list[Obj] = []
    for obj in objects:
        row: Obj = {"cells": found.cells(obj, moment)}
        shown = {"Object": obj, "None": None}
        row["object"] = shown[include_object] if include_object in shown else _partial(obj)
        if resource.kind == "Pod" and (conditions := _row_conditions(obj)):
            row["conditions"] = conditions
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": list(found.columns),
        "rows": rows,
    }


def _partial(obj: Obj) -> Obj:
    metadata = obj.get("metadata") or {}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


def _row_conditions(obj: Obj) -> list[Obj]:
    phase = meta.get(obj, "status.phase")
    if phase not in ("Succeeded", "Failed"):
        return []
    told = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return [{"type": "Completed", "status": "True", "reason": phase, "message": told}]
