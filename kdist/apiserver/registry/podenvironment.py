"""What is wrong with the environment of a container: variables, their sources, whole maps and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]")
_FIELD_PATHS = {
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
}


def check(container: Obj, field: str) -> list[Cause]:
    """Causes for the environment of a container at ``field``."""
    return [*_env(container, field), *_env_from(container, field)]


def _env(container: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for at, variable in enumerate(container.get("env") or ()):
        where, name = f"{field}.env[{at}]", variable.get("name") or ""
        if name:
            found += [causes.invalid(f"{where}.name", name, c) for c in names.env_name(name)]
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            found.append(
                causes.invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
            )
        if not source:
            told = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            found.append(causes.invalid(f"{where}.valueFrom", "", told))
        elif len(source) > 1:
            told = "may not have more than one field specified at a time"
            found.append(causes.invalid(f"{where}.valueFrom", "", told))
        found += check_value_source(source, f"{where}.valueFrom")
    return found


def check_value_source(source: Obj, field: str) -> Iterator[Cause]:
    """Causes for what an EnvVarSource, or a file of a downward API volume, refers to."""
    for kind in ("configMapKeyRef", "secretKeyRef"):
        reference = source.get(kind)
        if reference is not None:
            if not reference.get("name"):
                yield causes.required(f"{field}.{kind}.name")
            if not reference.get("key"):
                yield causes.required(f"{field}.{kind}.key")
            else:
                key = reference["key"]
                yield from (causes.invalid(f"{field}.{kind}.key", key, c) for c in names.config_key(key))
    if "fieldRef" in source:
        yield from _field_reference(source["fieldRef"], f"{field}.fieldRef")
    if "resourceFieldRef" in source and not source["resourceFieldRef"].get("resource"):
        yield causes.required(f"{field}.resourceFieldRef.resource")


def _field_reference(reference: Obj, field: str) -> Iterator[Cause]:
    path = reference.get("fieldPath") or ""
    if not path:
        yield causes.required(f"{field}.fieldPath")
        return
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript and subscript[1] in ("metadata.annotations", "metadata.labels"):
        key = subscript[2]
        rule = names.qualified_name(key.lower() if subscript[1] == "metadata.annotations" else key)
        yield from (causes.invalid(field, key, c) for c in rule)
    elif path not in _FIELD_PATHS:
        told = f"error converting fieldPath: field label not supported: {path}"
        yield causes.invalid(f"{field}.fieldPath", path, told)


def _env_from(container: Obj, field: str) -> Iterator[Cause]:
    for at, source in enumerate(container.get("envFrom") or ()):
        chosen = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        if prefix := source.get("prefix"):
            where = f"{field}.envFrom[{at}].prefix"
            yield from (causes.invalid(where, prefix, c) for c in names.env_name(prefix))
        if not chosen:
            told = "must specify one of: `configMapRef` or `secretRef`"
            yield causes.invalid(f"{field}.envFrom", "", told)
        elif len(chosen) > 1:
            told = "may not have more than one field specified at a time"
            yield causes.invalid(f"{field}.envFrom", "", told)
        for kind in chosen:
            name, where = source[kind].get("name") or "", f"{field}.envFrom[{at}].{kind}.name"
            if not name:
                yield causes.required(where)
            else:
                yield from (causes.invalid(where, name, c) for c in names.dns_subdomain(name))
