"""The operations of each resource, in terms that both OpenAPI versions render."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kdist.api.resources import Resource, Subresource
from kdist.apiserver.openapi.naming import camel, root, tag

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
SUCCESS, CREATED, ACCEPTED = "200", "201", "202"
ANYTHING = ("*/*",)
FORMS = ("application/json", "application/yaml")
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_STREAM = "application/json;stream=watch"

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
_DELETE = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)
_DELETE_MANY = tuple(sorted({*_LIST, *_DELETE} - {"watch", "allowWatchBookmarks"}))


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    ``body`` and ``answer`` are names of definitions; an answer without a name is text. ``kind`` is group, version
    and kind of what it is about, where it is about objects.
    """

    path: str
    method: str
    identifier: str
    description: str
    tag: str
    action: str = ""
    kind: tuple[str, str, str] | None = None
    parameters: tuple[str, ...] = ()
    body: str = ""
    answer: str = ""
    codes: tuple[str, ...] = (SUCCESS,)
    consumes: tuple[str, ...] = ANYTHING
    produces: tuple[str, ...] = FORMS

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is wrong; that of a deletion may be left out."""
        return self.method != "delete"


def of_resource(resource: Resource, definition: str, *, custom: bool = False) -> Iterator[Operation]:
    """Everything that can be done with a resource, whose objects have the definition of that name."""
    found = _Resource(resource, definition)
    operations = (*found.collections(), *found.items())
    if custom:
        yield from map(_of_custom, operations)
        return
    yield from operations
    yield from found.watches()


def _of_custom(operation: Operation) -> Operation:
    """Custom resources take what they give, no strategic merge patches, and tell a little otherwise."""
    changed = replace(operation, consumes=FORMS, produces=FORMS)
    if operation.action == "patch":
        types = tuple(t for t in PATCH_TYPES if "strategic" not in t)
        return replace(changed, consumes=types, codes=(SUCCESS,))
    if operation.action == "get":
        return replace(changed, parameters=("resourceVersion", "pretty"))
    if operation.action == "deletecollection":
        return replace(changed, parameters=(*_LIST, "pretty"), body="")
    return changed


#: Deleting one of these is answered with the object, deleting any other with a Status.
_ANSWERED_WITH_OBJECT = frozenset(
    {
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)
_PROXIED = ("get", "put", "post", "delete", "options", "head", "patch")
_OPENED = ("get", "post")
#: What leads through the API server to somewhere else: methods and parameters.
_CONNECTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "attach": (_OPENED, ("container", "stderr", "stdin", "stdout", "tty")),
    "exec": (_OPENED, ("command", "container", "stderr", "stdin", "stdout", "tty")),
    "portforward": (_OPENED, ("ports",)),
    "proxy": (_PROXIED, ("path",)),
}
_LOG = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "pretty",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
)
# Of each verb on one object: the method, the word that the identifier begins with, parameters, codes of success.
_ITEM_VERBS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "get": ("get", "read", (), (SUCCESS,)),
    "update": ("put", "replace", _WRITE, (SUCCESS, CREATED)),
    "delete": ("delete", "delete", _DELETE, (SUCCESS, ACCEPTED)),
    "patch": ("patch", "patch", (*_WRITE, "force"), (SUCCESS, CREATED)),
    "create": ("post", "create", _WRITE, (SUCCESS, CREATED, ACCEPTED)),
}


def _article(kind: str) -> str:
    return "an" if kind[:1] in "AEIOU" else "a"


class _Resource:
    """The operations of one resource."""

    def __init__(self, resource: Resource, definition: str) -> None:
        self._resource, self._definition = resource, definition
        self._tag = tag(resource.group, resource.version)
        self._words = camel(resource.group) + resource.version.capitalize()
        self._kind = (resource.group, resource.version, resource.kind)
        self._root = root(resource)

    def _below(self, spaced: bool, watch: bool = False) -> str:
        prefix = f"{self._root}/watch" if watch else self._root
        return f"{prefix}/namespaces/{{namespace}}" if spaced else prefix

    def _path(self, spaced: bool, *, item: bool = False, watch: bool = False) -> str:
        path = f"{self._below(spaced, watch)}/{self._resource.plural}"
        return f"{path}/{{name}}" if item else path

    def _identifier(self, verb: str, name: str, spaced: bool, middle: str = "") -> str:
        return f"{verb}{self._words}{middle}{'Namespaced' if spaced else ''}{name}"

    def collections(self) -> Iterator[Operation]:
        resource, spaced = self._resource, self._resource.namespaced
        if resource.namespaced and "list" in resource.verbs:
            yield self._list(spaced=False, suffix="ForAllNamespaces")
        if "list" in resource.verbs:
            yield self._list(spaced=spaced)
        common = Operation(self._path(spaced), "", "", "", self._tag, kind=self._kind)
        if "create" in resource.verbs:
            yield replace(
                common,
                method="post",
                action="post",
                identifier=self._identifier("create", resource.kind, spaced),
                description=f"create {_article(resource.kind)} {resource.kind}",
                parameters=(*_WRITE, "pretty"),
                body=self._definition,
                answer=self._definition,
                codes=(SUCCESS, CREATED, ACCEPTED),
            )
        if "deletecollection" in resource.verbs:
            yield replace(
                common,
                method="delete",
                action="deletecollection",
                identifier=self._identifier("delete", resource.kind, spaced, "Collection"),
                description=f"delete collection of {resource.kind}",
                parameters=(*_DELETE_MANY, "pretty"),
                body=f"{META}.DeleteOptions",
                answer=f"{META}.Status",
            )

    def _list(self, *, spaced: bool, suffix: str = "") -> Operation:
        watched = "watch" in self._resource.verbs
        return Operation(
            self._path(spaced),
            "get",
            self._identifier("list", self._resource.kind + suffix, spaced),
            f"list {'or watch ' if watched else ''}objects of kind {self._resource.kind}",
            self._tag,
            action="list",
            kind=self._kind,
            parameters=(*_LIST, "pretty"),
            answer=f"{self._definition}List",
            produces=(*FORMS, _STREAM),
        )

    def watches(self) -> Iterator[Operation]:
        """The paths of old that watch without a parameter."""
        resource, spaced = self._resource, self._resource.namespaced
        if "watch" not in resource.verbs:
            return
        if resource.namespaced:
            yield self._watch("watchlist", f"{resource.kind}ListForAllNamespaces", spaced=False)
        yield self._watch("watchlist", f"{resource.kind}List", spaced=spaced)
        yield self._watch("watch", resource.kind, spaced=spaced)

    def _watch(self, action: str, name: str, *, spaced: bool) -> Operation:
        one = action == "watch"
        subject = "changes to an object" if one else "individual changes to a list"
        advice = ", filtered to one object by 'fieldSelector'" if one else ""
        return Operation(
            self._path(spaced, item=one, watch=True),
            "get",
            self._identifier("watch", name, spaced),
            f"watch {subject} of {self._resource.kind}; deprecated: list with the parameter 'watch'{advice}",
            self._tag,
            action=action,
            kind=self._kind,
            parameters=(*_LIST, "pretty"),
            answer=f"{META}.WatchEvent",
            produces=(*FORMS, _STREAM),
        )

    def items(self) -> Iterator[Operation]:
        for verb in ("get", "update", "delete", "patch"):
            if verb in self._resource.verbs:
                yield self._item(verb)
        for sub in self._resource.subresources.values():
            if sub.name in _CONNECTIONS:
                yield from self._connections(sub)
                continue
            for verb in ("get", "create", "update", "delete", "patch"):
                if verb in sub.verbs:
                    yield self._below_item(verb, sub)

    def _item(self, verb: str) -> Operation:
        resource, spaced = self._resource, self._resource.namespaced
        method, word, parameters, codes = _ITEM_VERBS[verb]
        bodies = {"get": "", "patch": f"{META}.Patch", "delete": f"{META}.DeleteOptions"}
        whole = verb != "delete" or resource.group_resource in _ANSWERED_WITH_OBJECT
        return Operation(
            self._path(spaced, item=True),
            method,
            self._identifier(word, resource.kind, spaced),
            f"{word} the specified {resource.kind}",
            self._tag,
            action=method,
            kind=self._kind,
            parameters=(*parameters, "pretty"),
            body=bodies.get(verb, self._definition),
            answer=self._definition if whole else f"{META}.Status",
            codes=codes,
            consumes=PATCH_TYPES if verb == "patch" else ANYTHING,
        )

    def _below_item(self, verb: str, sub: Subresource) -> Operation:
        """On a subresource; its body and answer are filled in by who knows the definition of its kind."""
        item = self._item(verb)
        name = self._resource.kind + sub.name.capitalize()
        word = _ITEM_VERBS[verb][1]
        found = replace(
            item,
            path=f"{item.path}/{sub.name}",
            identifier=self._identifier(word, name, self._resource.namespaced),
            description=f"{word} {sub.name} of the specified {self._resource.kind}",
            kind=(sub.group, sub.version, sub.kind),
        )
        if sub.name == "log":
            return replace(found, parameters=_LOG, answer="", produces=("text/plain", *FORMS))
        return found

    def _connections(self, sub: Subresource) -> Iterator[Operation]:
        methods, parameters = _CONNECTIONS[sub.name]
        path = f"{self._path(self._resource.namespaced, item=True)}/{sub.name}"
        for suffix, below in (("", ""), ("WithPath", "/{path}")):
            if below and sub.name != "proxy":
                return
            for method in methods:
                name = f"{self._resource.kind}{sub.name.capitalize()}{suffix}"
                yield Operation(
                    path + below,
                    method,
                    self._identifier("connect", name, self._resource.namespaced, method.capitalize()),
                    f"connect {method.upper()} requests to {sub.name} of {self._resource.kind}",
                    self._tag,
                    action="connect",
                    kind=(sub.group, sub.version, sub.kind),
                    parameters=parameters,
                    produces=ANYTHING,
                )
