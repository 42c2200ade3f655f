"""From a resource request to its handler: by verb, and by subresource when there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kdist.api.errors import MethodNotAllowed
from kdist.api.resources import Resource
from kdist.apiserver.call import Call
from kdist.apiserver.handlers import delete, read, subresources, watch, write
from kdist.apiserver.requestinfo import RequestInfo

_NEED_A_NAME = ("update", "patch")
Handler = Callable[[Call], Awaitable[None]]

_RESOURCE: dict[str, Handler] = {
    "get": read.get,
    "list": read.list_,
    "watch": watch.watch,
    "create": write.create,
    "update": write.update,
    "patch": write.patch,
    "delete": delete.delete,
    "deletecollection": delete.delete_collection,
}
# Subresources that are views of the whole object.
_VIEW: dict[str, Handler] = {"get": read.get, "update": write.update, "patch": write.patch}


def route(resource: Resource, info: RequestInfo) -> Handler | None:
    """The handler; None when there is no such path. MethodNotAllowed when the path has no such verb."""
    if info.deeper or (not resource.namespaced and info.namespace and info.plural != "namespaces"):
        return None
    if resource.namespaced and not info.namespace:
        if info.name_in_path:
            return None
        if info.verb not in ("list", "watch"):
            raise not_allowed()
    if info.subresource:
        return _subresource(resource, info)
    if info.name_in_path if info.verb == "create" else not info.name and info.verb in _NEED_A_NAME:
        raise not_allowed()
    special = subresources.VIRTUAL.get((resource.group, resource.plural))
    handler = (special or _RESOURCE).get(info.verb)
    if handler is None or (info.verb not in resource.verbs and info.verb not in resource.unlisted_verbs):
        if info.verb == "create" and resource.unlisted_verbs:
            raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
        raise not_allowed()
    return handler


def _subresource(resource: Resource, info: RequestInfo) -> Handler | None:
    subresource = resource.subresources.get(info.subresource)
    if subresource is None:
        return None
    handlers = subresources.HANDLERS.get(info.subresource, _VIEW)
    if info.verb not in handlers or (info.verb and info.verb not in subresource.verbs):
        raise not_allowed()
    return handlers[info.verb]


def not_allowed() -> MethodNotAllowed:
    """The answer to a verb that a path does not have."""
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})
