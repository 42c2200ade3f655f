"""The operations of each resource, in terms that both OpenAPI versions render."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdist.api.resources import Resource, Subresource

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)

_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")

#: The JSON type of each query parameter.
PARAMETER_TYPES = {
    "allowWatchBookmarks": "boolean",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "limit": "integer",
    "orphanDependents": "boolean",
    "pretty": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. ``body`` and ``answer`` are kinds as (apiVersion, kind), or definition names."""

    path: str
    method: str
    action: str
    identifier: str
    description: str
    group: str
    version: str
    kind: str
    parameters: tuple[str, ...] = ()
    body: str = ""
    answer: str = ""
    namespaced: bool = False
    named: bool = False
    custom: bool = False  # of a custom resource

    @property
    def consumes(self) -> tuple[str, ...]:
        """What bodies it takes; kubectl sends a strategic merge patch wherever it is told of one."""
        if self.method != "patch":
            return ("*/*",)
        return tuple(t for t in PATCH_TYPES if not (self.custom and "strategic" in t))


def root(resource: Resource) -> str:
    """The path of the resource's group and version."""
    return f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"


def tag(group: str, version: str) -> str:
    """``apps_v1``: how operations of a group and version are tagged."""
    return f"{group.split('.')[0] or 'core'}_{version}"


def of_resource(resource: Resource, definition: str) -> Iterator[Operation]:
    """Everything that can be done with a resource, whose objects have the definition of that name."""
    spaces = (True, False) if resource.namespaced else (False,)
    for spaced in spaces:
        prefix = root(resource) + ("/namespaces/{namespace}" if spaced else "")
        whole = spaced or not resource.namespaced
        yield from _collection(resource, definition, f"{prefix}/{resource.plural}", spaced, whole)
        if whole:
            item = f"{prefix}/{resource.plural}/{{name}}"
            yield from _item(resource, definition, item, spaced)


def _words(resource: Resource, spaced: bool) -> str:
    prefix = "".join(part.capitalize() for part in tag(resource.group, resource.version).split("_"))
    return prefix + ("Namespaced" if spaced else "") + resource.kind


def _collection(
    resource: Resource, definition: str, path: str, spaced: bool, whole: bool
) -> Iterator[Operation]:
    words = _words(resource, spaced)
    coordinates = (resource.group, resource.version, resource.kind)
    if "list" in resource.verbs:
        suffix = "" if whole else "ForAllNamespaces"
        yield Operation(
            path,
            "get",
            "list",
            f"list{words}{suffix}",
            f"list or watch objects of kind {resource.kind}",
            *coordinates,
            parameters=_LIST,
            answer=f"{definition}List",
            namespaced=spaced,
        )
    if "create" in resource.verbs and whole:
        yield Operation(
            path,
            "post",
            "post",
            f"create{words}",
            f"create {_article(resource.kind)} {resource.kind}",
            *coordinates,
            parameters=_WRITE,
            body=definition,
            answer=definition,
            namespaced=spaced,
        )
    if "deletecollection" in resource.verbs and whole:
        yield Operation(
            path,
            "delete",
            "deletecollection",
            f"deleteCollection{words}",
            f"delete collection of {resource.kind}",
            *coordinates,
            parameters=tuple(sorted({*_LIST, *_DELETE} - {"watch", "allowWatchBookmarks"})),
            body=f"{META}.DeleteOptions",
            answer=f"{META}.Status",
            namespaced=spaced,
        )


def _article(kind: str) -> str:
    return "an" if kind[:1] in "AEIOU" else "a"


_ITEM_VERBS = {
    "get": ("get", "get", "read", (), False),
    "update": ("put", "put", "replace", _WRITE, True),
    "delete": ("delete", "delete", "delete", _DELETE, True),
    "patch": ("patch", "patch", "patch", (*_WRITE, "force"), True),
    "create": ("post", "post", "create", _WRITE, True),
}


def _item(resource: Resource, definition: str, path: str, spaced: bool) -> Iterator[Operation]:
    words = _words(resource, spaced)
    for verb in ("get", "update", "delete", "patch"):
        if verb in resource.verbs:
            yield _operation(resource, path, verb, words, "", definition, spaced)
    for sub in resource.subresources.values():
        below, name = f"{path}/{sub.name}", words + sub.name.capitalize()
        for verb in ("get", "create", "update", "delete", "patch"):
            if verb in sub.verbs:
                yield _operation(resource, below, verb, name, sub.name, definition, spaced, sub)


def _operation(
    resource: Resource,
    path: str,
    verb: str,
    words: str,
    below: str,
    definition: str,
    spaced: bool,
    sub: Subresource | None = None,
) -> Operation:
    method, action, word, parameters, has_body = _ITEM_VERBS[verb]
    if sub and sub.kind != resource.kind:
        definition = ""  # looked up by kind; the *Options of connections have no body
    bodies = {"patch": f"{META}.Patch", "delete": f"{META}.DeleteOptions"}
    told = f"{below} of the specified {resource.kind}" if below else f"the specified {resource.kind}"
    return Operation(
        path,
        method,
        action,
        f"{word}{words}",
        f"{word} {told}",
        sub.group if sub else resource.group,
        sub.version if sub else resource.version,
        sub.kind if sub else resource.kind,
        parameters=parameters,
        body=bodies.get(verb, definition) if has_body else "",
        answer=f"{META}.Status" if verb == "delete" else definition,
        namespaced=spaced,
        named=True,
    )
