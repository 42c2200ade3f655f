"""From a resource request to its handler: by verb, and by subresource when there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kdist.api.errors import MethodNotAllowed
from kdist.api.resources import Resource
from kdist.apiserver.call import Call
from kdist.apiserver.handlers import delete, read, subresources, watch, write

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


def route(resource: Resource, verb: str, subresource: str) -> Handler | None:
    """The handler; None when there is no such subresource. MethodNotAllowed when it has no such verb."""
    if not subresource:
        special = subresources.VIRTUAL.get((resource.group, resource.plural))
        handler = (special or _RESOURCE).get(verb)
        if handler is None or verb not in resource.verbs:
            raise _not_allowed(verb)
        return handler
    if subresource not in resource.subresources:
        return None
    handlers = subresources.HANDLERS.get(subresource, _VIEW)
    if verb not in handlers or verb not in resource.subresources[subresource].verbs:
        raise _not_allowed(verb)
    return handlers[verb]


def _not_allowed(verb: str) -> MethodNotAllowed:
    return MethodNotAllowed(f"the server does not allow this method on the requested resource: {verb}")
