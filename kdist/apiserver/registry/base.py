"""The rules of one resource, apart from how it is stored and served.

A request handler decodes the object, calls the strategy's steps in the order below and stores the result:

- create: ``default``, (admission, ``default`` again), ``drop_disabled``, ``prepare_create``, ``validate``,
  ``finish_create``
- update: ``default``, (admission), ``drop_disabled``, ``prepare_update``, ``validate_update``, which covers
  ``validate``
- subresource update: ``prepare_subresource_update``, ``validate_subresource_update``

``default`` and ``prepare_*`` change the first object in place: it belongs to the request. ``old`` is never
changed. Nothing here does I/O. Strategies are stateless apart from their resource, so one serves all.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, ClassVar, Protocol

from kdist.api import features as gates
from kdist.api.errors import Cause
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.api.schema import ANY, Schema
from kdist.apiserver.registry.gatedfields import GatedFields
from kdist.apiserver.registry.required import missing
from kdist.apiserver.validation import names
from kdist.apiserver.validation.metadata import validate_metadata, validate_metadata_update

if TYPE_CHECKING:
    from kdist.api.scheme import Resource

#: The fields that every resource can be selected by.
_EVERYWHERE = {"metadata.name", "metadata.namespace"}
#: ``status_keeps`` of resources whose status is nobody's way to their metadata.
USERS_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


class Converter(Protocol):
    """Converts objects between the versions of one kind."""

    async def convert(self, objects: list[Obj], to: str) -> list[Obj]:
        """The objects in the version ``to`` (GROUP/VERSION), all in one step. ApiError."""


class Strategy:
    """Rules that hold for a resource without any of its own; families override what differs."""

    #: PUT to a name that does not exist creates it.
    allow_create_on_update: ClassVar[bool] = False
    #: PUT without a resourceVersion overwrites whatever is there.
    allow_unconditional_update: ClassVar[bool] = True
    #: Deletion leaves the dependents, as orphans, unless the request says otherwise.
    orphans_by_default: ClassVar[bool] = False
    #: What to warn of when a deletion does not say what becomes of the dependents.
    careless_deletion: ClassVar[str] = ""
    #: Whether metadata.generation counts changes of everything but metadata and status.
    tracks_generation: bool = False
    #: Whether a deletion may leave the object to the garbage collector, by the finalizers of its policies.
    collected: ClassVar[bool] = True
    #: The group in refusals of objects of this kind, where it is not the resource's own.
    error_group: ClassVar[str | None] = None
    #: The generation of a new object; the first change makes it 1 where it is 0.
    first_generation: ClassVar[int] = 1
    #: The status of a new object, for resources with a status of their own.
    initial_status: ClassVar[Obj] = {}
    #: The fields of the metadata that a write of the status, or of another view, leaves as they are.
    status_keeps: ClassVar[tuple[str, ...]] = ()
    #: What a write of the object, or of a subresource, does not set besides the usual: it makes nobody its owner.
    resets: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: A deletion that removes the object at once still answers with it marked as deleted.
    marks_removed: ClassVar[bool] = False
    #: Finalizers that a deletion begins with.
    deletion_finalizers: ClassVar[tuple[str, ...]] = ()
    #: Whether :meth:`shape` brings objects from storage into their present form.
    shapes_reads: ClassVar[bool] = False
    #: Whether fields that the published type requires are missed where :meth:`check` says nothing about them; off
    #: for resources whose rules know all that upstream misses.
    checks_required: ClassVar[bool] = True
    #: Whether finalizers without a domain have to be the system's own.
    known_finalizers: ClassVar[bool] = True
    #: Converts between versions where that takes a webhook.
    converter: Converter | None = None
    #: The grammar of metadata.name.
    name_rule = staticmethod(names.dns_subdomain)

    def __init__(self, resource: Resource, schema: Schema = ANY, features: Features = gates.DEFAULT) -> None:
        self.resource = resource
        self.schema = schema
        #: The API level with its feature gates.
        self.features = features
        self._gated = GatedFields(resource.group, resource.plural, features)

    # ----- main resource

    def default(self, obj: Obj) -> None:
        """Fill in fields that the user left out."""

    def drop_disabled(self, new: Obj, old: Obj | None) -> None:
        """Take out, in place, what a feature gate that is off guards; what ``old`` uses may stay."""
        if self._gated:
            self._gated.drop(new, old)

    def shape(self, obj: Obj) -> None:
        """Change an object from storage, in place, into what the resource looks like now."""

    def prepare_create(self, obj: Obj) -> None:
        """Reset what a user cannot set on create: the status, the generation."""
        if "status" in self.resource.subresources:
            obj["status"] = deepcopy(self.initial_status)
        if self.tracks_generation and self.first_generation:
            obj.setdefault("metadata", {})["generation"] = self.first_generation

    def finish_create(self, obj: Obj) -> None:
        """Fill in what upstream would when it reads a new object back; it was judged before."""

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Keep what an update of the main resource cannot change, and count the generation."""
        if "status" in self.resource.subresources:
            keep(new, old, "status")
        self.count_generation(new, old)

    def validate(self, obj: Obj) -> list[Cause]:
        """Everything wrong with a new, defaulted object (its types are checked before)."""
        return [*self.validate_metadata(obj, self.name_rule), *self.check_content(obj)]

    def validate_metadata(self, obj: Obj, name_rule: names.Rule) -> list[Cause]:
        """What is wrong with the metadata of a new object whose name follows ``name_rule``."""
        return validate_metadata(
            obj.get("metadata") or {},
            namespaced=self.resource.namespaced,
            name_rule=name_rule,
            known_finalizers=self.known_finalizers,
        )

    def check_content(self, obj: Obj) -> list[Cause]:
        """What is wrong with a new object besides its metadata."""
        return self._with_missing(obj, [*self.check(obj), *self.check_create(obj)])

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Everything wrong with replacing ``old`` by ``new``."""
        metadata = validate_metadata_update(new.get("metadata") or {}, old.get("metadata") or {})
        return [*metadata, *self._with_missing(new, [*self.check(new), *self.check_update(new, old)])]

    def _with_missing(self, obj: Obj, causes: list[Cause]) -> list[Cause]:
        """What the rules found, and the required fields on which they had nothing to say."""
        if not self.checks_required:
            return unique(causes)
        told = {cause.field for cause in causes}
        return unique([*causes, *(c for c in self.missing(obj) if c.field not in told)])

    def missing(self, obj: Obj) -> list[Cause]:
        """The fields that the published type requires and the object lacks."""
        return missing(obj, self.schema)

    def check(self, obj: Obj) -> list[Cause]:
        """What is wrong with the content, on create and on update; required fields may be absent."""
        return []

    def check_create(self, obj: Obj) -> list[Cause]:
        """What is wrong with the content of a new object that an object of old may have."""
        return []

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What is wrong with the change itself: fields that cannot change, steps that are not allowed."""
        return []

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Texts for the Warning header."""
        return []

    # ----- subresources

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """Keep all but the status and the metadata; of that, what the resource protects."""
        for field in {*new, *old} - {"apiVersion", "kind", "metadata", "status"}:
            keep(new, old, field)
        for field in ("generation", *self.status_keeps):
            keep(new["metadata"], old["metadata"], field)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Everything wrong with the new status, or with the metadata that came with it."""
        return validate_metadata_update(new["metadata"], old["metadata"])

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``prepare_update`` of a subresource that takes whole objects: status, approval, resize, ..."""
        self.prepare_status_update(new, old)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[Cause]:
        """``validate_update`` of such a subresource."""
        return self.validate_status_update(new, old)

    @property
    def scale_path(self) -> str:
        """Where the wanted replicas lie, for resources with a ``scale`` subresource."""
        return "spec.replicas"

    def scale(self, obj: Obj) -> Obj:
        """The autoscaling/v1 Scale of an object, for resources with a ``scale`` subresource."""
        raise NotImplementedError(f"{self.resource.plural} cannot be scaled")

    def apply_scale(self, obj: Obj, scale: Obj) -> None:
        """Write a Scale's replicas back."""
        raise NotImplementedError(f"{self.resource.plural} cannot be scaled")

    # ----- selection and deletion

    def fields(self, obj: Obj) -> dict[str, str]:
        """The selectable fields with their values; every object offers the same keys."""
        metadata = obj.get("metadata") or {}
        fields = {"metadata.name": metadata.get("name", "")}
        if self.resource.namespaced:
            fields["metadata.namespace"] = metadata.get("namespace", "")
        return fields

    def field_label(self, label: str) -> str | None:
        """The key in :meth:`fields` of what this version of the resource calls ``label``; None if it has no such."""
        known = self.fields({})
        if label in known:
            return label
        return label if label in _EVERYWHERE and not known.keys() - _EVERYWHERE else None

    def unknown_field(self, label: str) -> str:
        """What to tell who selects by a field that :meth:`field_label` does not know."""
        if self.fields({}).keys() - _EVERYWHERE:
            return f"field label not supported: {label}"
        return f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"'

    def grace_seconds(self, obj: Obj, requested: int | None) -> int:
        """How long the object stays marked as deleting before it goes; 0 removes it at once."""
        return 0

    # ----- shared steps

    def count_generation(self, new: Obj, old: Obj) -> None:
        """The generation of ``old``, plus one when anything outside metadata and status changed."""
        before = (old.get("metadata") or {}).get("generation")
        metadata = new.setdefault("metadata", {})
        metadata.pop("generation", None)
        if self.tracks_generation and (before is not None or not self.first_generation):
            ignored = {"apiVersion", "kind", "metadata", "status"}
            if any(new.get(f) != old.get(f) for f in {*new, *old} - ignored):
                before = (before or 0) + 1
        if before is not None:
            metadata["generation"] = before


def unique(causes: list[Cause]) -> list[Cause]:
    """The causes in order, each once."""
    return list(dict.fromkeys(causes))


def keep(new: Obj, old: Obj, field: str) -> None:
    """Make a top-level field of ``new`` what it is in ``old``."""
    if field in old:
        new[field] = deepcopy(old[field])
    else:
        new.pop(field, None)
