"""What is asked of an authorizer, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kdist.api.errors import Forbidden
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz.selectors import EVERYTHING, Selectors, parse

_SELECTING = frozenset({"list", "watch", "deletecollection"})


class Attributes(NamedTuple):
    """One request: either of a resource, or (``resource`` empty) of a path such as /healthz.

    ``verb`` is the API's (get, list, watch, create, ...), for paths the lower-case HTTP method.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""
    #: The selectors of a review; a request's are read from the two texts when somebody wants them.
    selectors: Selectors | None = None

    def restrictions(self) -> Selectors:
        """What the request limits itself to; only verbs about collections can."""
        if self.selectors is not None:
            return self.selectors
        if self.verb not in _SELECTING or not (self.field_selector or self.label_selector):
            return EVERYTHING
        return parse(self.field_selector, self.label_selector)

    @property
    def full_resource(self) -> str:
        """``pods`` or ``pods/log``, as RBAC rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may go on. Neither allowed nor denied: this authorizer has no opinion."""

    allowed: bool = False
    reason: str = ""
    denied: bool = False


NO_OPINION = Decision()


def describe(attributes: Attributes) -> str:
    """``User "x" cannot list resource "pods" in API group "" in the namespace "default"``."""
    who = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.resource:
        return f'{who} path "{attributes.path}"'
    what = f'{who} resource "{attributes.full_resource}" in API group "{attributes.group}"'
    if attributes.namespace:
        return f'{what} in the namespace "{attributes.namespace}"'
    return f"{what} at the cluster scope"


def forbidden(attributes: Attributes, reason: str = "") -> Forbidden:
    """The 403 of a refused request, in the words clients and users know."""
    text = describe(attributes) + (f": {reason}" if reason else "")
    return forbidden_because(attributes.group, attributes.resource, attributes.name, text)


def forbidden_because(group: str, resource: str, name: str, why: str) -> Forbidden:
    """``pods "x" is forbidden: why``, with the details of the object."""
    if not resource:
        return Forbidden(f"forbidden: {why}", details={})
    qualified = f"{resource}.{group}" if group else resource
    quoted = f'{qualified} "{name}"' if name else qualified
    details = {"name": name, "group": group, "kind": resource}
    return Forbidden(
        f"{quoted} is forbidden: {why}", details={key: value for key, value in details.items() if value}
    )
