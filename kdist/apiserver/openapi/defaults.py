"""The values that version 3 tells for fields which are left out: version 2 has none.

A field that every object has when written, because upstream's type cannot leave it out, defaults to nothing of its
kind: an empty text, zero, an empty object. :mod:`kdist.api.schema`'s table of forms knows which these are; the rest
stands here. Only told: what an object gets is the business of its resource's strategy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from kdist.api.schema import written_always

_REFERENCE = "#/definitions/"
_ZERO: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}
#: Types that are no objects, or whose empty object means something else.
_WITHOUT_EMPTY = (".IntOrString", ".Quantity", ".RawExtension", ".JSON", ".JSONSchemaPropsOrBool",
                  ".JSONSchemaPropsOrArray", ".JSONSchemaPropsOrStringArray", ".FieldsV1")  # fmt: skip
_TIMES = (".Time", ".MicroTime")
_METADATA = (".ObjectMeta", ".ListMeta")
_API = "io.k8s.api."
_NOTHING = object()
#: Types that name another object, which need not be named.
_NAMING = (
    "ConfigMapEnvSource",
    "ConfigMapKeySelector",
    "ConfigMapProjection",
    "ConfigMapVolumeSource",
    "LocalObjectReference",
    "SecretEnvSource",
    "SecretKeySelector",
    "SecretProjection",
)


def _persistent(kind: str) -> tuple[str, str]:
    """The two types of a volume's source: of a pod and of a persistent volume."""
    return f"{kind}VolumeSource", f"{kind}PersistentVolumeSource"


#: Fields whose default is another than the rule says.
_OTHERWISE: dict[str, dict[str, Any]] = {
    "admissionregistration.v1.MutatingWebhook": {"sideEffects": _NOTHING},
    "admissionregistration.v1.ValidatingWebhook": {"sideEffects": _NOTHING},
    "certificates.v1.CertificateSigningRequestSpec": {"request": _NOTHING},
    "core.v1.AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "fsType": "ext4",
        "kind": "Shared",
        "readOnly": False,
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.EphemeralContainer": {"resources": {}},
    "core.v1.GRPCAction": {"service": ""},
    "core.v1.ServicePort": {"protocol": "TCP"},
    "networking.v1.HTTPIngressPath": {"pathType": _NOTHING},
    **{f"core.v1.{name}": {"iscsiInterface": "default"} for name in _persistent("ISCSI")},
    **{
        f"core.v1.{name}": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"}
        for name in _persistent("RBD")
    },
    **{
        f"core.v1.{name}": {"fsType": "xfs", "storageMode": "ThinProvisioned"}
        for name in _persistent("ScaleIO")
    },
    **{f"core.v1.{name}": {"name": ""} for name in _NAMING},
}


def completed(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """A definition with its defaults; those of custom resources have their own. The argument stays as it is."""
    if not name.startswith("io.k8s.") or not body.get("properties"):
        return body
    told = _OTHERWISE.get(name.removeprefix(_API), {})
    written = _written().get(name, frozenset())
    required = written | frozenset(body.get("required") or ())
    properties = {
        field: _field(
            child, told.get(field, _rule(child, field in (written if "$ref" in child else required)))
        )
        for field, child in body["properties"].items()
    }
    return {**body, "properties": properties}


@cache
def _written() -> dict[str, frozenset[str]]:
    return written_always()


def _rule(child: dict[str, Any], always: bool) -> Any:
    """What a field defaults to by its type."""
    target = child.get("$ref", "")
    if target.endswith(_METADATA):
        return {}
    if not always:
        return _NOTHING
    if target:
        return _NOTHING if target.endswith(_WITHOUT_EMPTY) else {}
    return _ZERO.get(child.get("type", ""), _NOTHING)


def _field(child: dict[str, Any], default: Any) -> dict[str, Any]:
    told = dict(child) if default is _NOTHING else {**child, "default": default}
    for inner in ("items", "additionalProperties"):
        if isinstance(told.get(inner), dict):
            told[inner] = _field(told[inner], _rule(told[inner], _has_empty(told[inner])))
    return told


def _has_empty(child: dict[str, Any]) -> bool:
    """Whether an item or a map's value is told to have a default."""
    return child.get("format") != "byte" and not child.get("$ref", "").endswith(_TIMES)
