"""The API's defaults for the pods of manifests on this host, which no API server has seen. Pure."""

from __future__ import annotations

import copy

from kdist.agent.images import pull_policy
from kdist.api.meta import Obj

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "securityContext": {},
}
_FILE_MODE = 0o644


def defaulted(pod: Obj) -> Obj:
    """A copy of the pod with every default that the node relies on or shows."""
    pod = copy.deepcopy(pod)
    spec = pod.setdefault("spec", {})
    for field, value in _SPEC.items():
        if spec.get(field) is None:
            spec[field] = copy.deepcopy(value)
    for which in ("initContainers", "containers"):
        for container in spec.get(which) or ():
            _default_container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    return pod


def _default_container(container: Obj, host_network: bool) -> None:
    container["imagePullPolicy"] = pull_policy(container)
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network:
            port.setdefault("hostPort", port["containerPort"])
    for name in _PROBES:
        if container.get(name):
            container[name] = {**_PROBE, **container[name]}
            _default_action(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        _default_action(hook)


def _default_action(action: Obj) -> None:
    if action.get("httpGet"):
        action["httpGet"] = {"path": "/", "scheme": "HTTP", **action["httpGet"]}
    if action.get("grpc"):
        action["grpc"].setdefault("service", "")


def _default_volume(volume: Obj) -> None:
    if volume.get("hostPath"):
        volume["hostPath"].setdefault("type", "")
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if volume.get(kind):
            volume[kind].setdefault("defaultMode", _FILE_MODE)
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
