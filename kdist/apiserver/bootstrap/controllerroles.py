"""One role per controller, held by its service account and by the controller manager's own identity."""

from __future__ import annotations

from kdist.apiserver.bootstrap.notation import READ, Entry, allow_all, bind, role, service_account, user
from kdist.apiserver.bootstrap.systemroles import KUBE_CONTROLLER_MANAGER
from kdist.apiserver.ports import Obj

_PODS: Entry = ("core pods", "create delete get list patch watch")
_REVISIONS: Entry = ("apps controllerrevisions", "create delete get list patch update watch")
_CHANGE = "get list update watch"
_STATUS = "patch update"
_CSR = "certificates.k8s.io certificatesigningrequests"

_CONTROLLERS: dict[str, tuple[Entry, ...]] = {
    "attachdetach-controller": (
        ("core persistentvolumeclaims,persistentvolumes", "list watch"),
        ("core nodes", READ),
        ("core nodes/status", _STATUS),
        ("core pods", "list watch"),
        ("storage.k8s.io volumeattachments", "create delete get list watch"),
        ("storage.k8s.io csidrivers,csinodes", READ),
    ),
    "clusterrole-aggregation-controller": (
        ("rbac.authorization.k8s.io clusterroles", "escalate get list patch update watch"),
    ),
    "cronjob-controller": (
        ("batch cronjobs", _CHANGE),
        ("batch jobs", "create delete get list patch update watch"),
        ("batch cronjobs/finalizers", "update"),
        ("batch cronjobs/status", _STATUS),
        ("core pods", "delete list"),
    ),
    "daemon-set-controller": (
        ("apps daemonsets", READ),
        ("apps daemonsets/finalizers", "update"),
        ("apps daemonsets/status", _STATUS),
        ("core nodes", "list watch"),
        _PODS,
        ("core pods/binding", "create"),
        _REVISIONS,
    ),
    "deployment-controller": (
        ("apps deployments", _CHANGE),
        ("apps deployments/finalizers", "update"),
        ("apps deployments/status", _STATUS),
        ("apps replicasets", "create delete get list patch update watch"),
        ("core pods", "get list update watch"),
    ),
    "disruption-controller": (
        ("apps deployments,replicasets,statefulsets", READ),
        ("core replicationcontrollers", READ),
        ("policy poddisruptionbudgets", READ),
        ("policy poddisruptionbudgets/status", _STATUS),
        ("core pods", READ),
        ("core pods/status", _STATUS),
        ("* */scale", "get"),
    ),
    "endpoint-controller": (
        ("core pods,services", READ),
        ("core endpoints", "create delete get list update watch"),
        ("core endpoints/restricted", "create"),
    ),
    "endpointslice-controller": (
        ("core nodes,pods,services", READ),
        ("core services/finalizers", "update"),
        ("discovery.k8s.io endpointslices", "create delete get list update watch"),
    ),
    "endpointslicemirroring-controller": (
        ("core endpoints,services", READ),
        ("core endpoints/finalizers,services/finalizers", "update"),
        ("discovery.k8s.io endpointslices", "create delete get list update watch"),
    ),
    "ephemeral-volume-controller": (
        ("core pods", READ),
        ("core pods/finalizers", "update"),
        ("core persistentvolumeclaims", "create get list watch"),
    ),
    "expand-controller": (
        ("core persistentvolumes", "get list patch update watch"),
        ("core persistentvolumeclaims", READ),
        ("core persistentvolumeclaims/status", _STATUS),
        ("storage.k8s.io storageclasses", READ),
    ),
    "generic-garbage-collector": (("* *", "delete get list patch update watch"),),
    "horizontal-pod-autoscaler": (
        ("autoscaling horizontalpodautoscalers", READ),
        ("autoscaling horizontalpodautoscalers/status", "update"),
        ("* */scale", "get update"),
        ("core pods", "list"),
        ("metrics.k8s.io pods", "list"),
        ("custom.metrics.k8s.io,external.metrics.k8s.io *", "get list"),
    ),
    "job-controller": (
        ("batch jobs", "get list patch update watch"),
        ("batch jobs/finalizers", "update"),
        ("batch jobs/status", _STATUS),
        _PODS,
    ),
    "legacy-service-account-token-cleaner": (
        ("core secrets", "delete patch"),
        ("core configmaps", "get", "kube-apiserver-legacy-service-account-token-tracking"),
    ),
    "namespace-controller": (
        ("core namespaces", "delete get list watch"),
        ("core namespaces/finalize,namespaces/status", "update"),
        ("* *", "delete deletecollection get list"),
    ),
    "node-controller": (
        ("core nodes", "delete get list patch update watch"),
        ("core nodes/status", _STATUS),
        ("core pods/status", _STATUS),
        ("core pods", "delete get list watch"),
        ("coordination.k8s.io leases", READ),
        ("networking.k8s.io clustercidrs", READ),
    ),
    "persistent-volume-binder": (
        ("core persistentvolumes", "create delete get list update watch"),
        ("core persistentvolumes/status", "update"),
        ("core persistentvolumeclaims", _CHANGE),
        ("core persistentvolumeclaims/status", "update"),
        ("core pods", "create delete get list watch"),
        ("storage.k8s.io storageclasses", READ),
        ("core nodes", READ),
        ("core secrets", "get"),
    ),
    "pod-garbage-collector": (
        ("core pods", "delete list watch"),
        ("core nodes", "get list"),
        ("core pods/status", "patch"),
    ),
    "pv-protection-controller": (("core persistentvolumes", _CHANGE),),
    "pvc-protection-controller": (
        ("core persistentvolumeclaims", _CHANGE),
        ("core pods", READ),
    ),
    "replicaset-controller": (
        ("apps replicasets", _CHANGE),
        ("apps replicasets/status", _STATUS),
        ("apps replicasets/finalizers", "update"),
        _PODS,
    ),
    "replication-controller": (
        ("core replicationcontrollers", _CHANGE),
        ("core replicationcontrollers/status", _STATUS),
        ("core replicationcontrollers/finalizers", "update"),
        _PODS,
    ),
    "resourcequota-controller": (
        ("* *", "list watch"),
        ("core resourcequotas/status", "update"),
    ),
    "root-ca-cert-publisher": (
        ("core configmaps", "create update"),
        ("core namespaces", READ),
    ),
    "route-controller": (
        ("core nodes", "list watch"),
        ("core nodes/status", "patch"),
    ),
    "service-account-controller": (("core serviceaccounts", "create"), ("core namespaces", READ)),
    "service-cidrs-controller": (
        ("networking.k8s.io servicecidrs", "get list patch update watch"),
        ("networking.k8s.io servicecidrs/status,servicecidrs/finalizers", _STATUS),
        ("networking.k8s.io ipaddresses", READ),
    ),
    "service-controller": (
        ("core services", READ),
        ("core services/status", _STATUS),
        ("core nodes", "list watch"),
    ),
    "statefulset-controller": (
        ("core pods", "create delete get list patch update watch"),
        ("apps statefulsets", READ),
        ("apps statefulsets/status", _STATUS),
        ("apps statefulsets/finalizers", "update"),
        _REVISIONS,
        ("core persistentvolumeclaims", "create delete get list update watch"),
    ),
    "ttl-after-finished-controller": (("batch jobs", "delete get list watch"),),
    "ttl-controller": (("core nodes", "list patch update watch"),),
    "certificate-controller": (
        (_CSR, "delete get list watch"),
        (f"{_CSR}/approval,certificatesigningrequests/status", "update"),
        ("certificates.k8s.io signers", "approve", "kubernetes.io/kube-apiserver-client-kubelet"),
        (
            "certificates.k8s.io signers",
            "sign",
            "kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client "
            "kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving",
        ),
        ("authorization.k8s.io subjectaccessreviews", "create"),
    ),
}
_EVENTS: Entry = ("core,events.k8s.io events", "create patch update")


def controller_roles() -> list[Obj]:
    """The roles ``system:controller:NAME``; every controller may tell events."""
    return [
        role(f"system:controller:{name}", allow_all((*entries, _EVENTS)))
        for name, entries in _CONTROLLERS.items()
    ]


def controller_bindings() -> list[Obj]:
    """Their bindings.

    The manager works under one identity unless it is told to use a service account per controller: both
    hold the roles.
    """
    manager = user(KUBE_CONTROLLER_MANAGER)
    return [bind(f"system:controller:{name}", service_account(name), manager) for name in _CONTROLLERS]
