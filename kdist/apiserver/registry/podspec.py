"""Defaults of pod specs, for pods themselves and for the templates inside workloads."""

from __future__ import annotations

import re
from typing import Any

from kdist.api.meta import Obj

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODE = 0o644
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(rf"(?:[\w.-]+(?::\d+)?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]*)?", re.ASCII)


def default_template(template: Obj) -> None:
    """Defaults of a PodTemplateSpec, in place."""
    default_spec(template.setdefault("spec", {}))


def default_spec(spec: Obj) -> None:
    """Defaults that pods and templates share, in place."""
    fill(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
    )
    spec.setdefault("securityContext", {})
    # The old and the new name of the same field always agree.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            default_container(container)


def default_pod(spec: Obj) -> None:
    """Defaults that only pods have: service links, requests from limits, host ports, no grace below zero."""
    default_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("enableServiceLinks", True)
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            _requests_from_limits(container.get("resources") or {})
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    fill(port, hostPort=port.get("containerPort"))


def default_resize_policies(spec: Obj, *, sidecars: bool) -> None:
    """What a container asks for can be changed without a restart, unless it says otherwise."""
    resized = list(spec.get("containers") or ())
    if sidecars:
        resized += (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    for container in resized:
        asked = (container.get("resources") or {}).get("requests") or {}
        given = {policy.get("resourceName") for policy in container.get("resizePolicy") or ()}
        for name in ("cpu", "memory"):
            if name in asked and name not in given:
                policy = {"resourceName": name, "restartPolicy": "NotRequired"}
                container.setdefault("resizePolicy", []).append(policy)


def fill(target: Obj, **values: Any) -> None:
    """Set the fields that are missing; where an empty text means that, it is gone before."""
    for field, value in values.items():
        if target.get(field) is None:
            target[field] = value


def _requests_from_limits(resources: Obj) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def default_container(container: Obj) -> None:
    """Defaults of any container, in place."""
    fill(
        container,
        imagePullPolicy=_pull_policy(container.get("image") or ""),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        default_value_source(variable.get("valueFrom") or {})
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_handler(handler)


def _pull_policy(image: str) -> str:
    """Always for what moves: no tag, or ``latest``; a digest never moves."""
    if "@" in image or not _REFERENCE.fullmatch(image):
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def default_value_source(source: Obj) -> None:
    """Defaults of an EnvVarSource or a DownwardAPIVolumeFile, in place."""
    if "fieldRef" in source:
        fill(source["fieldRef"], apiVersion="v1")
    if "resourceFieldRef" in source:
        fill(source["resourceFieldRef"], divisor="0")


def _default_probe(probe: Obj) -> None:
    fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _default_handler(probe)


def _default_handler(handler: Obj) -> None:
    if "httpGet" in handler:
        fill(handler["httpGet"], path="/", scheme="HTTP")
    if "grpc" in handler:
        fill(handler["grpc"], service="")


def default_volume(volume: Obj) -> None:
    """Defaults of a volume; one without any source is an emptyDir."""
    if not any(field != "name" for field in volume):
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            fill(volume[source], defaultMode=_MODE)
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        default_value_source(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            default_value_source(item)
        if "serviceAccountToken" in source:
            fill(source["serviceAccountToken"], expirationSeconds=3600)
    if "hostPath" in volume:
        fill(volume["hostPath"], type="")
    if "image" in volume:
        fill(volume["image"], pullPolicy=_pull_policy(volume["image"].get("reference") or ""))
    default_disk(volume)
    if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        fill(template.setdefault("spec", {}), volumeMode="Filesystem")
        # upstream writes it here, and has it owned
        template.setdefault("metadata", {}).setdefault("creationTimestamp", None)


def default_disk(volume: Obj) -> None:
    """Network disks, which persistent volumes name the same way."""
    if "iscsi" in volume:
        fill(volume["iscsi"], iscsiInterface="default")
    if "rbd" in volume:
        fill(volume["rbd"], pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    if "scaleIO" in volume:
        fill(volume["scaleIO"], storageMode="ThinProvisioned", fsType="xfs")
    if "azureDisk" in volume:
        fill(volume["azureDisk"], cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False)
