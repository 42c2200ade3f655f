"""What is wrong with the source of a volume: those that pods and persistent volumes name the same way.

A source is one field of a volume, ``hostPath`` or ``nfs``; its checks are found by that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import between, needed, no_steps_back, ruled, word

Check = Callable[[Obj, str], Iterator[Cause]]

HOST_PATHS = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:.*)?"),
    "eui": re.compile(r"eui\.[0-9A-Fa-f]{16}"),
    "naa": re.compile(r"naa\.[0-9A-Fa-f]{32}"),
}
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_RESERVED = (".kubernetes.io", ".k8s.io")


def check_host_path(source: Obj, where: str) -> Iterator[Cause]:
    """Causes for a HostPathVolumeSource."""
    path, kind = source.get("path") or "", source.get("type") or ""
    if not path:
        yield causes.required(f"{where}.path")
        return
    yield from no_steps_back(f"{where}.path", path)
    if kind not in HOST_PATHS:
        yield causes.not_supported(f"{where}.type", kind, HOST_PATHS)


def _local(source: Obj, where: str) -> Iterator[Cause]:
    path = source.get("path") or ""
    yield from no_steps_back(f"{where}.path", path) if path else needed(source, where, "path")


def _nfs(source: Obj, where: str) -> Iterator[Cause]:
    yield from needed(source, where, "server", "path")
    path = source.get("path") or ""
    if not path.startswith("/"):
        yield causes.invalid(f"{where}.path", path, "must be an absolute path")


def _needs(*fields: str) -> Check:
    return lambda source, where: iter(needed(source, where, *fields))


def _disk(*fields: str) -> Check:
    def check(source: Obj, where: str) -> Iterator[Cause]:
        yield from needed(source, where, *fields)
        yield from between(f"{where}.partition", source.get("partition") or 0, 0, 255)

    return check


def _fc(source: Obj, where: str) -> Iterator[Cause]:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    field = f"{where}.targetWWNs"
    if not targets and not ids:
        yield causes.required(field, "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        yield causes.invalid(field, targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets and lun is None:
        yield causes.required(f"{where}.lun", "lun is required if targetWWNs is specified")
    elif targets:
        yield from between(f"{where}.lun", lun or 0, 0, 255)


def check_iscsi(source: Obj, where: str) -> Iterator[Cause]:
    """Causes for an ISCSIVolumeSource, the persistent one included."""
    yield from needed(source, where, "targetPortal", "iqn")
    if iqn := source.get("iqn"):
        yield from _initiator(f"{where}.iqn", iqn)
    yield from between(f"{where}.lun", source.get("lun") or 0, 0, 255)
    authenticates = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if authenticates and "secretRef" not in source:
        yield causes.required(f"{where}.secretRef")
    if (name := source.get("initiatorName")) is not None:
        yield from _initiator(f"{where}.initiatorname", name)


def _initiator(field: str, name: str) -> list[Cause]:
    grammar = _INITIATORS.get(name[:3])
    return (
        [] if grammar and grammar.fullmatch(name) else [causes.invalid(field, name, "must be valid format")]
    )


def _flocker(source: Obj, where: str) -> Iterator[Cause]:
    name, identity = source.get("datasetName") or "", source.get("datasetUUID")
    if not name and not identity:
        yield causes.required(where, "one of datasetName and datasetUUID is required")
    if name and identity:
        told = "datasetName and datasetUUID can not be specified simultaneously"
        yield causes.invalid(where, "resource", told)
    if "/" in name:
        yield causes.invalid(f"{where}.datasetName", name, "must not contain '/'")


def _quobyte(source: Obj, where: str) -> Iterator[Cause]:
    registry, told = (
        source.get("registry") or "",
        "must be a host:port pair or multiple pairs separated by commas",
    )
    if not registry:
        yield causes.required(f"{where}.registry", told)
    elif len(source.get("tenant") or "") > 64:
        too_long = "must be a UUID and may not exceed a length of 64 characters"
        yield causes.required(f"{where}.tenant", too_long)
    else:
        for pair in registry.split(","):
            if not re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*):[^:]*", pair):
                yield causes.invalid(f"{where}.registry", registry, told)
    yield from needed(source, where, "volume")


def _flex(source: Obj, where: str) -> Iterator[Cause]:
    yield from needed(source, where, "driver")
    for key in source.get("options") or {}:
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED):
            told = "kubernetes.io and k8s.io namespaces are reserved"
            yield causes.invalid(f"{where}.options[{key}]", key, told)


def _azure_disk(source: Obj, where: str) -> Iterator[Cause]:
    yield from needed(source, where, "diskName", "diskURI")
    for field, words in (
        ("cachingMode", ("None", "ReadOnly", "ReadWrite")),
        ("kind", ("Dedicated", "Managed", "Shared")),
    ):
        if source.get(field) is not None:
            yield from word(f"{where}.{field}", source[field], words)
    managed = source.get("kind") == "Managed"
    uri, start = source.get("diskURI") or "", "/subscriptions/" if managed else "https://"
    if not uri.startswith(start):
        yield causes.not_supported(f"{where}.diskURI", uri, [_MANAGED if managed else _BLOB])


def _storage_os(source: Obj, where: str) -> Iterator[Cause]:
    yield from needed(source, where, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if text := source.get(field):
            yield from ruled(f"{where}.{field}", text, names.dns_label)


#: The checks by the name of the source.
CHECKS: dict[str, Check] = {
    "awsElasticBlockStore": _disk("volumeID"),
    "azureDisk": _azure_disk,
    "azureFile": _needs("secretName", "shareName"),
    "cephfs": _needs("monitors"),
    "cinder": _needs("volumeID"),
    "fc": _fc,
    "flexVolume": _flex,
    "flocker": _flocker,
    "gcePersistentDisk": _disk("pdName"),
    "glusterfs": _needs("endpoints", "path"),
    "hostPath": check_host_path,
    "iscsi": check_iscsi,
    "local": _local,
    "nfs": _nfs,
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "quobyte": _quobyte,
    "rbd": _needs("monitors", "image"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "storageos": _storage_os,
    "vsphereVolume": _needs("volumePath"),
}


def check_driver_name(name: str, field: str) -> Iterator[Cause]:
    """Causes for the name of a CSI driver, which is a subdomain when written in lower case."""
    if not name:
        yield causes.required(field)
    if len(name) > 63:
        yield causes.too_long(field, 63)
    yield from (causes.invalid(field, name, c) for c in names.dns_subdomain(name.lower()))
