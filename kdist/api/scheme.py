"""Everything an API level serves: resources by path and by kind, their schemas, their storage version.

Loading takes the resource table (:mod:`kdist.api.resources`) and the published definitions of the level. The
definitions lie in the ``kubernetes-validate`` package, of which a deployment needs only the level's own
directory.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdist.api import schema as schemas
from kdist.api.features import DEFAULT_LEVEL, Features, reached
from kdist.api.resources import Resource, Subresource, builtin_resources
from kdist.api.runtimeconfig import Enabled
from kdist.api.schema import Definitions, Schema

__all__ = ["Resource", "Scheme", "Subresource", "data_directory"]

GroupVersionKind = tuple[str, str, str]


def data_directory() -> Path:
    """Where the installed package keeps its definitions; found without importing it."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package kubernetes-validate is not installed")
    return Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema"


_STABILITY = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_order(name: str) -> tuple[Any, ...]:
    """Sorts versions by preference: stable before beta before alpha, newer first, other names last."""
    found = _STABILITY.fullmatch(name)
    if not found:
        return (1, name)
    stability = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (0, stability, -int(found[1]), -int(found[3] or 0))


class Scheme:
    """The resources and types of one API level. Custom resources are added and removed at run time."""

    def __init__(
        self,
        level: str,
        directory: Path,
        resources: tuple[Resource, ...],
        features: Features,
        enabled: Enabled,
    ) -> None:
        self.level = level
        #: The feature gates, which say what is served and how.
        self.features = features
        self._enabled = enabled
        self._directory = directory
        definitions = schemas.read_definitions(level, directory)
        self._names = _names_by_kind(definitions)
        self._types = schemas.build(definitions)
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[GroupVersionKind, Resource] = {}
        self._custom: dict[GroupVersionKind, Schema] = {}
        #: Counts the changes of what is served, for whoever keeps something made of it.
        self.changes = 0
        self._listeners: list[Callable[[], None]] = []
        for resource in resources:
            if self._serves(resource):
                self._add(_of_level(resource, features))

    @classmethod
    def load(
        cls,
        level: str = DEFAULT_LEVEL,
        directory: Path | None = None,
        *,
        features: Features | None = None,
        runtime_config: Iterable[str] = (),
    ) -> Scheme:
        """The built-in resources of an API level, as ``features`` and ``runtime_config`` switch them.

        Raises FileNotFoundError for a level without definitions, ValueError for a wrong runtime configuration.
        """
        rows = builtin_resources()
        enabled = Enabled.parse(runtime_config, rows)
        return cls(level, directory or data_directory(), rows, features or Features(level), enabled)

    def _serves(self, resource: Resource) -> bool:
        known = (resource.group, resource.version, resource.kind) in self._names
        switched = not resource.feature or self.features(resource.feature)
        return known and switched and reached(self.level, resource.since) and self._enabled(resource)

    def _add(self, resource: Resource) -> None:
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.group, resource.version, resource.kind] = resource

    # ----- resources

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource served at ``/apis/GROUP/VERSION/PLURAL`` (``/api/VERSION/PLURAL`` without a group)."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object, from its apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def groups(self) -> dict[str, list[str]]:
        """The served versions of each group, preferred first; the core group has the empty name."""
        groups: dict[str, list[str]] = {}
        for resource in self:
            versions = groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        for group in {group for group, _, _ in self._custom}:
            groups[group].sort(key=version_order)
        return groups

    def resources_of(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version by name; empty when it is not served."""
        rows = [r for r in self if (r.group, r.version) == (group, version)]
        return sorted(rows, key=lambda r: r.plural)

    def stored_as(self, resource: Resource) -> Resource:
        """The version whose form is stored: the resource itself unless another version shares its storage."""
        if not resource.stored_as:
            return resource
        found = self.by_kind(resource.stored_as, resource.kind)
        if found is None and (self.is_custom(resource) or self._is_known(resource)):
            # its storage version need not be served
            version = resource.stored_as.rpartition("/")[2]
            return replace(resource, version=version, stored_as="")
        if found is None:
            raise LookupError(f"{resource.api_version} {resource.kind} is stored as {resource.stored_as}")
        return found

    def _is_known(self, resource: Resource) -> bool:
        group, _, version = resource.stored_as.rpartition("/")
        return (group, version, resource.kind) in self._names

    def register(self, resource: Resource, schema: Schema = schemas.ANY) -> None:
        """Serve a custom resource from now on."""
        self._add(resource)
        self._custom[resource.group, resource.version, resource.kind] = schema
        self._changed()

    def is_custom(self, resource: Resource) -> bool:
        """Whether a resource was registered, not built in."""
        return (resource.group, resource.version, resource.kind) in self._custom

    def unregister(self, resource: Resource) -> None:
        """Stop serving a custom resource."""
        self._by_path.pop((resource.group, resource.version, resource.plural), None)
        self._by_kind.pop((resource.group, resource.version, resource.kind), None)
        self._custom.pop((resource.group, resource.version, resource.kind), None)
        self._changed()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after every change of what is served."""
        self._listeners.append(callback)

    def _changed(self) -> None:
        self.changes += 1
        for listener in self._listeners:
            listener()

    # ----- types

    def schema(self, api_version: str, kind: str) -> Schema | None:
        """The type of any published kind, also of those that are only bodies (Scale, Eviction, ...)."""
        group, _, version = api_version.rpartition("/")
        coordinates = (group, version, kind)
        if coordinates in self._custom:
            return self._custom[coordinates]
        name = self._names.get(coordinates)
        return self._types[name] if name else None

    def schema_of(self, resource: Resource) -> Schema:
        """The type of a served resource."""
        found = self.schema(resource.api_version, resource.kind)
        if found is None:
            raise LookupError(f"no schema for {resource.api_version} {resource.kind}")
        return found

    def definition_name(self, api_version: str, kind: str) -> str | None:
        """The published name of a kind's definition: ``io.k8s.api.core.v1.Pod``."""
        group, _, version = api_version.rpartition("/")
        if (group, version, kind) in self._custom:
            return ".".join((*reversed(group.split(".")), version, kind))
        return self._names.get((group, version, kind))

    def definitions(self) -> Definitions:
        """The published definitions with their descriptions, read anew: large, do not keep them."""
        return schemas.read_definitions(self.level, self._directory)


def _names_by_kind(definitions: Definitions) -> dict[GroupVersionKind, str]:
    names: dict[GroupVersionKind, str] = {}
    for name, body in definitions.items():
        for gvk in body.get("x-kubernetes-group-version-kind") or ():
            names[gvk["group"], gvk["version"], gvk["kind"]] = name
    return names


def _of_level(resource: Resource, features: Features) -> Resource:
    def served(sub: Subresource) -> bool:
        return features.reached(sub.since) and (not sub.feature or features(sub.feature))

    kept = {name: s for name, s in resource.subresources.items() if served(s)}
    if len(kept) != len(resource.subresources):
        resource = replace(resource, subresources=kept)
    return resource if features.reached(resource.deprecated_since) else replace(resource, deprecation="")
