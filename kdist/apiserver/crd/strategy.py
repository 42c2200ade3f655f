"""The rules of custom resources."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import orjson

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.api.schema import Schema
from kdist.apiserver.crd import shaping, values
from kdist.apiserver.registry.base import Converter, Strategy, keep
from kdist.apiserver.validation.metadata import validate_metadata_update

if TYPE_CHECKING:
    from kdist.apiserver.crd.rules import Rules
    from kdist.apiserver.tables.columns import Printer

# Causes that keep rules from being evaluated.
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_ROOT_FIELDS = ("apiVersion", "kind", "metadata")
_SCALE_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class CustomResourceStrategy(Strategy):
    """One version of a custom resource, by the ``version`` entry of its definition."""

    allow_unconditional_update = False
    tracks_generation = True
    shapes_reads = True

    def __init__(
        self,
        resource: Resource,
        schema: Schema,
        version: Obj,
        indexed: tuple[str, ...],
        converter: Converter | None = None,
    ) -> None:
        super().__init__(resource, schema)
        self.converter = converter
        self.version = version
        self._document: Obj = schema.document or {}
        self._indexed = indexed
        #: Paths without the leading dot, in the definition's order.
        self.selectable = [f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()]

    @functools.cached_property
    def printer(self) -> Printer:
        """The columns of this version."""
        from kdist.apiserver.crd import columns  # only for those who ask for tables

        return columns.printer(self.version)

    # ----- writing

    def default(self, obj: Obj) -> None:
        """The schema's defaults."""
        shaping.default(obj, self._document)

    def shape(self, obj: Obj) -> None:
        """What a stored object, perhaps of an older schema, looks like now."""
        shaping.prune(obj, self._document)
        self.default(obj)

    def prepare_create(self, obj: Obj) -> None:
        """No status of the user's making."""
        super().prepare_create(obj)
        if "status" in self.resource.subresources:
            del obj["status"]

    def count_generation(self, new: Obj, old: Obj) -> None:
        """The status counts like everything else unless it is a subresource."""
        if "status" in self.resource.subresources:
            super().count_generation(new, old)
            return
        before = old["metadata"].get("generation", 1)
        changed = any(new.get(f) != old.get(f) for f in {*new, *old} - set(_ROOT_FIELDS))
        new["metadata"]["generation"] = before + 1 if changed else before

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """The status alone."""
        for field in {*new, *old} - {*_ROOT_FIELDS, "status"}:
            keep(new, old, field)
        for field in {*new["metadata"], *old["metadata"]} - {"managedFields", "resourceVersion"}:
            keep(new["metadata"], old["metadata"], field)

    @functools.cached_property
    def rules(self) -> Rules | None:
        """The schema's rules in CEL."""
        if b"x-kubernetes-validations" not in orjson.dumps(self._document):
            return None
        from kdist.apiserver.crd import rules  # a schema without rules does not pay for the library

        return rules.compile_tree(self._document)

    def check(self, obj: Obj) -> list[Cause]:
        """What the schema and its rules say of a new object."""
        return self._judge(obj, None)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What they say of a change; what was wrong before and did not change may stay."""
        return [*validate_metadata_update(new["metadata"], old["metadata"]), *self._judge(new, old)]

    def _judge(self, obj: Obj, old: Obj | None) -> list[Cause]:
        content = {k: v for k, v in obj.items() if k != "metadata"}
        before = values.UNKNOWN if old is None else {k: v for k, v in old.items() if k != "metadata"}
        found = values.check(content, {**self._document, "nullable": False}, "", before)
        found += self._check_metadata(obj)
        if self.rules is not None:
            found += self._check_rules(self.rules, obj, old, found)
        return list(dict.fromkeys(found))

    @staticmethod
    def _check_rules(rules: Rules, obj: Obj, old: Obj | None, found: list[Cause]) -> list[Cause]:
        """The rules' causes; rules count on types and required fields, so these come first."""
        from kdist.apiserver.crd import rules as evaluation

        if any(cause.reason in _BLOCKING for cause in found):
            told = "some validation rules were not checked because the object was invalid; "
            told += "correct the existing errors to complete validation"
            return [Cause("<nil>", f'Invalid value: "null": {told}', "FieldValueInvalid")]
        return evaluation.check(rules, obj, old)

    def _check_metadata(self, obj: Obj) -> list[Cause]:
        limits = (self._document.get("properties") or {}).get("metadata") or {}
        named = (limits.get("properties") or {}).get("name")
        return values.check(meta.name(obj), named, "metadata.name") if named else []

    def _with_missing(self, obj: Obj, causes: list[Cause]) -> list[Cause]:
        return list(dict.fromkeys(causes))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """As of any change of the whole object."""
        return self.validate_update(new, old)

    # ----- scale

    @property
    def _scale(self) -> Obj:
        declared: Obj = self.version["subresources"]["scale"]
        return declared

    @property
    def scale_path(self) -> str:
        """From the definition."""
        return str(self._scale["specReplicasPath"]).lstrip(".")

    def scale(self, obj: Obj) -> Obj:
        """Replicas and selector from where the definition says they are."""
        at, metadata = self._scale, obj["metadata"]
        status: Obj = {"replicas": meta.get(obj, at["statusReplicasPath"].lstrip("."), 0)}
        if selector := meta.get(obj, (at.get("labelSelectorPath") or "").lstrip(".")):
            status["selector"] = selector
        replicas = meta.get(obj, self.scale_path, 0)
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {k: metadata[k] for k in _SCALE_METADATA if k in metadata},
            "spec": {"replicas": replicas} if replicas else {},
            "status": status,
        }

    def apply_scale(self, obj: Obj, scale: Obj) -> None:
        """Take the replicas."""
        *above, last = self.scale_path.split(".")
        node: Any = obj
        for step in above:
            node = node.setdefault(step, {})
        node[last] = (scale.get("spec") or {}).get("replicas", 0)

    # ----- selection

    def fields(self, obj: Obj) -> dict[str, str]:
        """Name, namespace, and the selectable fields of all versions."""
        found = super().fields(obj)
        for path in self._indexed:
            value = meta.get(obj, path, "")
            found[path] = str(value).lower() if isinstance(value, bool) else str(value)
        return found

    def field_label(self, label: str) -> str | None:
        """Only this version's selectable fields."""
        return label if label.startswith("metadata.") or label in self.selectable else None
