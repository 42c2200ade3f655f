"""``authorizer``: what a user may do, asked of the server's own authorizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from kdist.apiserver.authn.user import User, service_account_user
from kdist.apiserver.authz.attributes import Attributes, Decision
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import Opaque
from kdist.apiserver.validation import names


class Authorizer(Protocol):
    """Who decides."""

    def authorize(self, attributes: Attributes) -> Decision:
        """Whether the request may go on."""


@dataclass(frozen=True, slots=True)
class AuthorizerValue(Opaque):
    """The variable ``authorizer``: a user before an authorizer."""

    cel_type: ClassVar[str] = "kubernetes.authorization.Authorizer"
    user: User
    authorizer: Authorizer


@dataclass(frozen=True, slots=True)
class PathCheck(Opaque):
    """A question about a path."""

    cel_type: ClassVar[str] = "kubernetes.authorization.PathCheck"
    asked: AuthorizerValue
    path: str


@dataclass(frozen=True, slots=True)
class GroupCheck(Opaque):
    """The group of a question about a resource."""

    cel_type: ClassVar[str] = "kubernetes.authorization.GroupCheck"
    asked: AuthorizerValue
    group: str


@dataclass(frozen=True, slots=True)
class ResourceCheck(Opaque):
    """A question about a resource."""

    cel_type: ClassVar[str] = "kubernetes.authorization.ResourceCheck"
    asked: AuthorizerValue
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    # told for completeness: Node and RBAC decide without them
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class DecisionValue(Opaque):
    """The answer."""

    cel_type: ClassVar[str] = "kubernetes.authorization.Decision"
    decision: Decision


def _expect(value: Any, kind: type[Any]) -> Any:
    if isinstance(value, kind):
        return value
    raise no_such_overload()


def path(authorizer: Any, value: Any) -> PathCheck:
    """``authorizer.path(p)``."""
    if not text(value).strip():
        raise EvaluationError("path must not be empty")
    return PathCheck(_expect(authorizer, AuthorizerValue), value)


def group(authorizer: Any, value: Any) -> GroupCheck:
    """``authorizer.group(g)``."""
    return GroupCheck(_expect(authorizer, AuthorizerValue), text(value))


def service_account(authorizer: Any, namespace: Any, name: Any) -> AuthorizerValue:
    """``authorizer.serviceAccount(ns, name)``: the same question for a service account."""
    asked = _expect(authorizer, AuthorizerValue)
    if names.dns_subdomain(text(name)):
        raise EvaluationError("Invalid service account name")
    if names.dns_label(text(namespace)):
        raise EvaluationError("Invalid service account namespace")
    return AuthorizerValue(service_account_user(namespace, name), asked.authorizer)


def resource(check: Any, value: Any) -> ResourceCheck:
    """``group.resource(r)``."""
    of = _expect(check, GroupCheck)
    if not text(value).strip():
        raise EvaluationError("resource must not be empty")
    return ResourceCheck(of.asked, of.group, value)


def _narrowed(field: str) -> Callable[[Any, Any], ResourceCheck]:
    def evaluate(check: Any, value: Any) -> ResourceCheck:
        made: ResourceCheck = replace(_expect(check, ResourceCheck), **{field: text(value)})
        return made

    return evaluate


def check(question: Any, verb: Any) -> DecisionValue:
    """``check.check(verb)``."""
    if isinstance(question, PathCheck):
        attributes = Attributes(question.asked.user, text(verb), path=question.path)
    else:
        of: ResourceCheck = _expect(question, ResourceCheck)
        attributes = Attributes(
            of.asked.user,
            text(verb),
            group=of.group,
            version="*",
            resource=of.resource,
            subresource=of.subresource,
            namespace=of.namespace,
            name=of.name,
        )
    return DecisionValue(question.asked.authorizer.authorize(attributes))


def _decision(value: Any) -> Decision:
    made: Decision = _expect(value, DecisionValue).decision
    return made


def errored(value: Any) -> bool:
    """Whether the authorizer failed; the server's own always answers."""
    _decision(value)
    return False


def error(value: Any) -> str:
    """Why the authorizer failed: never."""
    _decision(value)
    return ""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "path": path,
    "group": group,
    "serviceAccount": service_account,
    "resource": resource,
    "subresource": _narrowed("subresource"),
    "namespace": _narrowed("namespace"),
    "name": _narrowed("name"),
    "fieldSelector": _narrowed("field_selector"),
    "labelSelector": _narrowed("label_selector"),
    "check": check,
    "allowed": lambda value: _decision(value).allowed,
    "reason": lambda value: _decision(value).reason,
    "errored": errored,
    "error": error,
}
