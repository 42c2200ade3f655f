"""What drivers of storage tell about themselves, and the attachments that they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.persistentvolumes import check_inline_spec
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.volumesources import check_driver_name
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, not_negative, ruled, word

_SHORTEST_TOKEN = 600
_LONGEST_TOKEN = 1 << 32
_NODE_ID_LIMIT = 256
_METADATA_SIZE = 256 * 1024
_ERROR_SIZE = 1024
_MODES = ("Persistent", "Ephemeral")


class CSIDriverStrategy(Strategy):
    """CSIDrivers."""

    allow_unconditional_update = False
    checks_required = False
    tracks_generation = True
    first_generation = 0

    def default(self, obj: Obj) -> None:
        """What a driver without further words is taken for."""
        fill(
            obj.setdefault("spec", {}),
            attachRequired=True,
            podInfoOnMount=False,
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            volumeLifecycleModes=["Persistent"],
            requiresRepublish=False,
            seLinuxMount=False,
        )

    def check(self, obj: Obj) -> list[Cause]:
        """Modes, policies, the tokens that a driver wants."""
        spec = obj.get("spec") or {}
        found = word(
            "spec.fsGroupPolicy", spec.get("fsGroupPolicy"), ("File", "None", "ReadWriteOnceWithFSType")
        )
        found += _tokens(spec.get("tokenRequests") or [])
        for mode in spec.get("volumeLifecycleModes") or ():
            if mode not in _MODES:
                found.append(causes.not_supported("spec.volumeLifecycleModes", mode, _MODES))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """How volumes are attached is for life."""
        return [
            cause
            for field, told in (
                ("attachRequired", "attachedRequired"),
                ("volumeLifecycleModes", "volumeLifecycleModes"),
            )
            for cause in causes.immutable(
                f"spec.{told}", meta.get(new, f"spec.{field}"), meta.get(old, f"spec.{field}")
            )
        ]


def _tokens(requests: list[Obj]) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, request in enumerate(requests):
        where, audience = f"spec.tokenRequests[{at}]", request.get("audience") or ""
        if audience in seen:
            yield causes.duplicate(f"{where}.audience", audience)
            continue
        seen.add(audience)
        seconds, field = request.get("expirationSeconds"), f"{where}.expirationSeconds"
        if seconds is not None and seconds < _SHORTEST_TOKEN:
            yield causes.invalid(field, seconds, "may not specify a duration less than 10 minutes")
        elif seconds is not None and seconds > _LONGEST_TOKEN:
            yield causes.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")


class CSINodeStrategy(Strategy):
    """CSINodes."""

    allow_unconditional_update = False
    checks_required = False

    def check(self, obj: Obj) -> list[Cause]:
        """A driver is there once, with an id of the node."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, driver in enumerate(meta.get(obj, "spec.drivers", [])):
            where, name = f"spec.drivers[{at}]", driver.get("name") or ""
            found += _driver(driver, where)
            if name in seen:
                found.append(causes.duplicate(f"{where}.name", name))
            seen.add(name)
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A driver comes and goes as a whole."""
        before = {driver.get("name"): driver for driver in meta.get(old, "spec.drivers", [])}
        return [
            causes.invalid("CSINodeDriver", driver, causes.IMMUTABLE)
            for driver in meta.get(new, "spec.drivers", [])
            if before.get(driver.get("name"), driver) != driver
        ]


def _driver(driver: Obj, where: str) -> Iterator[Cause]:
    yield from check_driver_name(driver.get("name") or "", f"{where}.name")
    yield from needed(driver, where, "nodeID")
    if len(identity := driver.get("nodeID") or "") > _NODE_ID_LIMIT:
        yield causes.invalid(f"{where}.nodeID", identity, f"must be {_NODE_ID_LIMIT} characters or less")
    yield from not_negative(f"{where}.allocatable.count", meta.get(driver, "allocatable.count"))
    keys = driver.get("topologyKeys") or []
    for at, key in enumerate(keys):
        if not key:
            yield causes.required(where)
        if key in keys[:at]:
            yield causes.duplicate(where, key)
        yield from ruled(where, key, names.qualified_name)


class VolumeAttachmentStrategy(Strategy):
    """VolumeAttachments: the spec is for life."""

    allow_unconditional_update = False
    checks_required = False

    initial_status: ClassVar[Obj] = {"attached": False}
    status_keeps = USERS_METADATA

    def check(self, obj: Obj) -> list[Cause]:
        """Who attaches what to which node."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return [
            *needed(spec, "spec", "attacher"),
            *_attached(spec.get("source") or {}, "spec.source"),
            *ruled("spec.nodeName", spec.get("nodeName") or "", names.dns_subdomain),
            *_told(status),
        ]

    def check_create(self, obj: Obj) -> list[Cause]:
        """Names that earlier versions did not look at."""
        spec = obj.get("spec") or {}
        found = list(check_driver_name(spec.get("attacher") or "", "spec.attacher"))
        if (volume := meta.get(spec, "source.persistentVolumeName")) is not None:
            found += ruled("spec.source.persistentVolumeName", volume, names.dns_subdomain)
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Attach something else by another object."""
        return causes.immutable("spec", new.get("spec"), old.get("spec"))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """As long as upstream takes it."""
        return [*super().validate_status_update(new, old), *_told(new.get("status") or {})]


def _attached(source: Obj, where: str) -> Iterator[Cause]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    told = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        yield causes.required(where, told)
    elif inline is not None and name is not None:
        yield causes.forbidden(where, told)
    elif inline is not None:
        yield from check_inline_spec(inline, f"{where}.inlineVolumeSpec")
    elif not name:
        yield causes.required(f"{where}.persistentVolumeName", "must specify non empty persistentVolumeName")


def _told(status: Obj) -> Iterator[Cause]:
    size = sum(len(k.encode()) + len(v.encode()) for k, v in (status.get("attachmentMetadata") or {}).items())
    if size > _METADATA_SIZE:
        yield causes.too_long("status.attachmentMetadata", _METADATA_SIZE)
    for field in ("attachError", "detachError"):
        if len(meta.get(status, f"{field}.message", "").encode()) > _ERROR_SIZE:
            yield causes.too_long(f"status.{field}.message", _METADATA_SIZE)
