"""SubjectAccessReview and its relatives: what others ask about who may do what."""

from __future__ import annotations

from kdist.api import errors, meta
from kdist.api.errors import Cause
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz.attributes import Attributes
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.ports import Obj

GROUP = "authorization.k8s.io"


def subject_access_review(authorizer: Authorizer, review: Obj) -> Obj:
    """Whether the user of the review may do it. Invalid when it names nobody."""
    spec = review.get("spec") or {}
    if not spec.get("user") and not spec.get("groups"):
        cause = Cause("spec.user", "Required value: at least one of user or group must be specified",
                      "FieldValueRequired")  # fmt: skip
        raise errors.invalid(GROUP, "SubjectAccessReview", "", [cause])
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)
    return _answer(authorizer, review, user)


def local_subject_access_review(authorizer: Authorizer, review: Obj, namespace: str) -> Obj:
    """A SubjectAccessReview that may ask about one namespace only. Invalid when it asks about another."""
    asked = meta.get(review, "spec.resourceAttributes.namespace", "")
    if asked != namespace:
        cause = Cause(
            "spec.resourceAttributes.namespace",
            f'Invalid value: "{asked}": must match metadata.namespace',
        )
        raise errors.invalid(GROUP, "LocalSubjectAccessReview", "", [cause])
    return subject_access_review(authorizer, review)


def self_subject_access_review(authorizer: Authorizer, user: User, review: Obj) -> Obj:
    """Whether the asking user may do it."""
    return _answer(authorizer, review, user)


def self_subject_rules_review(authorizer: Authorizer, user: User, review: Obj) -> Obj:
    """Everything the asking user may do in a namespace. Invalid without one."""
    namespace = meta.get(review, "spec.namespace", "")
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    resource_rules, path_rules = [], []
    for rule in authorizer.rules(user, namespace):
        body = rule.as_api()
        urls = body.pop("nonResourceURLs", None)
        if urls:
            path_rules.append({"verbs": body["verbs"], "nonResourceURLs": urls})
        if rule.resources:
            resource_rules.append(body)
    status = {
        "resourceRules": resource_rules,
        "nonResourceRules": path_rules,
        # What a node may do depends on its pods: no list of rules can say it.
        "incomplete": user.node_name is not None,
    }
    return {**review, "metadata": _metadata(review), "status": status}


def _answer(authorizer: Authorizer, review: Obj, user: User) -> Obj:
    decision = authorizer.authorize(_attributes(user, review))
    status: Obj = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    return {**review, "metadata": _metadata(review), "status": status}


def _attributes(user: User, review: Obj) -> Attributes:
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        cause = Cause(
            "spec.resourceAttributes",
            "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )
        raise errors.invalid(GROUP, review.get("kind") or "SubjectAccessReview", "", [cause])
    if path is not None:
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""))
    resource = resource or {}
    fields = ("group", "version", "resource", "subresource", "namespace", "name")
    return Attributes(user, resource.get("verb", ""), *(resource.get(field) or "" for field in fields))


def _metadata(review: Obj) -> Obj:
    return {**(review.get("metadata") or {}), "creationTimestamp": None}
