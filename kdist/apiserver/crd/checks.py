"""Judge the definitions themselves: names, versions, conversion, schemas, columns, subresources.

What all versions have in common is told once, at the place where upstream's internal form has it
(``spec.validation``, ``spec.subresources``, ...): a definition with one version always is such.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.crd import defaults, jsonpath, keywords, rulechecks, structural
from kdist.apiserver.crd.definition import INT_OR_STRING, document_of
from kdist.apiserver.crd.shaping import PRESERVE
from kdist.apiserver.registry.webhookclients import check_client
from kdist.apiserver.validation import causes, names

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_SELECTABLE_TYPES = ("string", "boolean", "integer")
_SELECTABLE_LIMIT = 8
_REVIEW_VERSIONS = ("v1", "v1beta1")
_MIXED_CASE = "may have mixed case, but should otherwise match: "
# What a schema may say at its root beside a status that is validated by itself.
_ROOT_WORDS = frozenset(
    {
        "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
        "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required",
        "items", "properties", "externalDocs", "example", PRESERVE, "x-kubernetes-validations",
    }
)  # fmt: skip
_WARNING_LIMIT = 256


def check(spec: Obj) -> list[Cause]:
    """Everything wrong with a definition's spec, its schemas' rules (CEL) apart."""
    return list(_check(spec))


def _check(spec: Obj) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    yield from _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        yield causes.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield causes.not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    yield from _versions(versions)
    yield from check_names(spec.get("names") or {}, "spec.names", complete=True)
    yield from _conversion(spec.get("conversion") or {}, "spec.conversion")
    if spec.get("preserveUnknownFields"):
        told = f"cannot set to true, set {PRESERVE} to true in spec.versions[*].schema instead"
        yield causes.invalid("spec.preserveUnknownFields", True, told)
        if any(_has_defaults(document_of(version)) for version in versions):
            told = "must be false in order to use defaults in the schema"
            yield causes.invalid("spec.preserveUnknownFields", True, told)
        if (strategy := meta.get(spec, "conversion.strategy")) != "None":
            told = "must be None if spec.preserveUnknownFields is true"
            yield causes.invalid("spec.conversion.strategy", strategy, told)
    for path, version in places(versions, "schema", "spec.validation"):
        yield from _schema(version, f"{path}.openAPIV3Schema")
    for path, version in places(versions, "subresources", "spec.subresources"):
        yield from _scale((version.get("subresources") or {}).get("scale"), f"{path}.scale")
    for path, version in places(versions, "additionalPrinterColumns", "spec.additionalPrinterColumns"):
        for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{path}[{at}]")
    for path, version in places(versions, "selectableFields", "spec.selectableFields"):
        yield from _selectable(version, path)


def places(versions: list[Obj], field: str, common: str) -> Iterator[tuple[str, Obj]]:
    """(path, version) of every version's ``field``; a field that is the same in all versions is one of the spec."""
    if versions and all(v.get(field) == versions[0].get(field) for v in versions):
        yield common, versions[0]
        return
    for at, version in enumerate(versions):
        yield f"spec.versions[{at}].{field}", version


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield causes.required("spec.group")
    elif told := names.dns_subdomain(group):
        yield causes.invalid("spec.group", group, ",".join(told))
    elif "." not in group:
        yield causes.invalid("spec.group", group, "should be a domain with at least one dot")


def _versions(versions: list[Obj]) -> Iterator[Cause]:
    listed = [v.get("name") or "" for v in versions]
    for at, version in enumerate(versions):
        path = f"spec.versions[{at}]"
        if told := names.dns_1035_label(listed[at]):
            yield causes.invalid(f"{path}.name", listed[at], ",".join(told))
            if at == 0 and listed[at]:  # upstream's internal form has the first version twice
                yield causes.invalid("spec.version", listed[at], ",".join(told))
        if meta.get(version, "schema.openAPIV3Schema") is None:
            yield causes.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        yield from _deprecation(version, f"{path}.deprecationWarning")
    if len(set(listed)) != len(listed):
        yield causes.invalid("spec.versions", listed, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        told_once = "must have exactly one version marked as storage version"
        yield causes.invalid("spec.versions", listed, told_once)


def _deprecation(version: Obj, path: str) -> Iterator[Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        yield causes.invalid(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > _WARNING_LIMIT:
        yield causes.invalid(path, warning, f"must be <= {_WARNING_LIMIT} characters long")
    if not warning:
        yield causes.invalid(path, warning, "must not be an empty string")
    at = next((i for i, c in enumerate(warning) if not c.isprintable()), -1)
    if at >= 0:
        told = f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
        yield causes.invalid(path, warning, told)


def check_names(given: Obj, path: str, *, complete: bool) -> Iterator[Cause]:
    """What is wrong with names; ``complete`` ones have to be there."""
    for field in ("plural", "singular", "kind", "listKind"):
        name = given.get(field) or ""
        if not name:
            if complete:
                yield causes.required(f"{path}.{field}")
            continue
        mixed = field.lower().endswith("kind")
        if told := names.dns_1035_label(name.lower() if mixed else name):
            yield causes.invalid(f"{path}.{field}", name, (_MIXED_CASE if mixed else "") + ",".join(told))
    for field in ("shortNames", "categories"):
        for at, name in enumerate(given.get(field) or ()):
            if told := names.dns_1035_label(name):
                yield causes.invalid(f"{path}.{field}[{at}]", name, ",".join(told))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        told_once = "kind and listKind may not be the same"
        yield causes.invalid(f"{path}.listKind", given["listKind"], told_once)


def check_status(crd: Obj) -> list[Cause]:
    """What is wrong with the versions that objects may be stored in."""
    stored = meta.get(crd, "status.storedVersions", [])
    versions = crd["spec"].get("versions") or []
    if not stored:
        told = "must have at least one stored version"
        return [causes.invalid("status.storedVersions", stored, told)]
    found, left = [], {name: at for at, name in enumerate(stored)}
    for version in versions:
        name = version.get("name") or ""
        if left.pop(name, None) is None and version.get("storage"):  # each stands for one version
            told = f"must have the storage version {name}"
            found.append(causes.invalid("status.storedVersions", stored, told))
    told = "must appear in spec.versions"
    return found + [causes.invalid(f"status.storedVersions[{at}]", name, told) for name, at in left.items()]


# ----- conversion


def _conversion(conversion: Obj, path: str) -> Iterator[Cause]:
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield causes.required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield causes.not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))
    webhook = conversion.get("webhook")
    if strategy == "Webhook":
        client, where = (webhook or {}).get("clientConfig"), f"{path}.webhookClientConfig"
        if client is None:
            yield causes.required(where, "required when strategy is set to Webhook")
        else:
            yield from check_client(client, where)
        listed = (webhook or {}).get("conversionReviewVersions") or []
        yield from _review_versions(listed, f"{path}.conversionReviewVersions")
    elif webhook:
        told = "should not be set when strategy is not set to Webhook"
        for given, field in (("clientConfig", "webhookClientConfig"), ("conversionReviewVersions",) * 2):
            if webhook.get(given):
                yield causes.forbidden(f"{path}.{field}", told)


def _review_versions(listed: list[str], path: str) -> Iterator[Cause]:
    if not listed:
        yield causes.required(path)
        return
    for at, version in enumerate(listed):
        if version in listed[:at]:
            yield causes.invalid(f"{path}[{at}]", version, "duplicate version")
            continue
        for told in names.dns_1035_label(version):
            yield causes.invalid(f"{path}[{at}]", version, told)
    if not set(listed) & set(_REVIEW_VERSIONS):
        yield causes.invalid(path, listed, f"must include at least one of {', '.join(_REVIEW_VERSIONS)}")


# ----- schemas


def _schema(version: Obj, path: str) -> Iterator[Cause]:
    document = meta.get(version, "schema.openAPIV3Schema")
    if document is None:
        return
    if "status" in (version.get("subresources") or {}):
        yield from _beside_status(document, path)
    if document.get("nullable"):
        yield causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    found = structural.check(document, path) or defaults.check(document, path)
    yield from found
    found_words = [*keywords.check(document, path), *rulechecks.check_words(document, path)]
    yield from found_words
    if not found and not found_words and orjson.dumps(document).find(b"x-kubernetes-validations") >= 0:
        yield from rulechecks.check(document, path)


def _has_defaults(schema: Any) -> bool:
    """Whether a schema, or one within it, brings a default."""
    if not isinstance(schema, dict):
        return False
    if "default" in schema:
        return True
    below = [
        schema.get("items"),
        schema.get("additionalProperties"),
        *(schema.get("properties") or {}).values(),
    ]
    return any(map(_has_defaults, below))


def _beside_status(document: Obj, path: str) -> Iterator[Cause]:
    where = "if the status subresource is enabled"
    if document.get("type", "object") != "object":
        told = f'only "object" is allowed as the type at the root of the schema {where}'
        yield causes.invalid(f"{path}.type", document.get("type") or "", told)
    if document.keys() - _ROOT_WORDS:
        told = f"only {sorted(_ROOT_WORDS)} fields are allowed at the root of the schema {where}"
        yield causes.invalid(path, sorted(document.keys()), told)


# ----- subresources, columns, selectable fields


def _scale(scale: Obj | None, path: str) -> Iterator[Cause]:
    if scale is None:
        return
    for field, roots in (("specReplicasPath", (".spec.",)), ("statusReplicasPath", (".status.",))):
        given = scale.get(field) or ""
        if not given:
            yield causes.required(f"{path}.{field}")
        else:
            yield from _below(given, f"{path}.{field}", roots, f"should be a json path under {roots[0][:-1]}")
    if selector := scale.get("labelSelectorPath"):
        told = "should be a json path under either .spec or .status"
        yield from _below(selector, f"{path}.labelSelectorPath", (".spec.", ".status."), told)


def _below(given: str, path: str, roots: tuple[str, ...], told: str) -> Iterator[Cause]:
    if not given.startswith("."):
        yield causes.invalid(path, given, "must be a simple json path starting with .")
    elif not given.startswith(roots):
        yield causes.invalid(path, given, told)


def _column(column: Obj, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield causes.required(f"{path}.name")
    kind, known = column.get("type") or "", f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield causes.required(f"{path}.type", known)
    elif kind not in _COLUMN_TYPES:
        yield causes.invalid(f"{path}.type", kind, known)
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        told = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield causes.invalid(f"{path}.format", column["format"], told)
    given, where = column.get("jsonPath") or "", f"{path}.JSONPath"
    if not given:
        yield causes.required(where)
    elif not given.startswith("."):
        yield causes.invalid(where, given, "must be a simple json path starting with .")
    else:
        try:
            jsonpath.parse(given)
        except ValueError as error:
            yield causes.invalid(where, given, str(error))


def _selectable(version: Obj, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    rows = version.get("selectableFields") or ()
    if rows and meta.get(version, "schema.openAPIV3Schema") is None:
        told = "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        yield causes.invalid(path, "", told)
        return
    for at, row in enumerate(rows):
        given, where = row.get("jsonPath") or "", f"{path}[{at}].jsonPath"
        if not given:
            yield causes.required(where)
            continue
        found = _schema_at(document_of(version), given)
        if isinstance(found, str):
            yield causes.invalid(where, given, f"is an invalid path: {found}")
            continue
        if given.startswith(".metadata"):
            yield causes.invalid(where, given, "must not point to fields in metadata")
        if found.get("type") not in _SELECTABLE_TYPES or found.get(INT_OR_STRING):
            told = "must point to a field of type string, boolean or integer. "
            told += "Enum string fields and strings with formats are allowed."
            yield causes.invalid(where, given, told)
        if given in seen:
            yield causes.duplicate(where, given)
        seen.add(given)
    if len(seen) > _SELECTABLE_LIMIT:
        yield causes.too_many(path, len(seen), _SELECTABLE_LIMIT)


def _schema_at(document: Obj, path: str) -> Any:
    """The schema of the field at a path of field names; a text says why there is none."""
    if not path.startswith("."):
        return f"expected [ or . but got: {path}"
    node = document
    for step in path[1:].split("."):
        child = (node.get("properties") or {}).get(step)
        if child is None:
            return "does not refer to a valid field"
        node = child
    return node
