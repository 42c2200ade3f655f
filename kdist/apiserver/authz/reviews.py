"""SubjectAccessReview and its relatives: what others ask about who may do what."""

from __future__ import annotations

from kdist.api import errors, meta
from kdist.api.errors import Cause
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz import selectors
from kdist.apiserver.authz.attributes import Attributes
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.ports import Obj
from kdist.apiserver.validation import causes

GROUP = "authorization.k8s.io"


def subject_access_review(authorizer: Authorizer, review: Obj) -> Obj:
    """Whether the user of the review may do it. Invalid when it names nobody."""
    _check("SubjectAccessReview", review, [*_attribute_faults(review), *_user_faults(review)])
    return _answer(authorizer, review, _user(review))


def local_subject_access_review(authorizer: Authorizer, review: Obj, namespace: str) -> Obj:
    """A SubjectAccessReview that may ask about one namespace only. Invalid when it asks about another."""
    faults = [*_attribute_faults(review), *_user_faults(review)]
    asked = meta.get(review, "spec.resourceAttributes")
    if asked is not None and asked.get("namespace", "") != namespace:
        faults.append(
            causes.invalid(
                "spec.resourceAttributes.namespace",
                asked.get("namespace", ""),
                "must match metadata.namespace",
            )
        )
    if path := meta.get(review, "spec.nonResourceAttributes"):
        told = "disallowed on this kind of request"
        faults.append(causes.invalid("spec.nonResourceAttributes", path, told))
    _check("LocalSubjectAccessReview", review, faults)
    return _answer(authorizer, review, _user(review))


def self_subject_access_review(authorizer: Authorizer, user: User, review: Obj) -> Obj:
    """Whether the asking user may do it."""
    _check("SelfSubjectAccessReview", review, _attribute_faults(review))
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
    unresolved = authorizer.unresolved(user)
    status: Obj = {
        "resourceRules": resource_rules,
        "nonResourceRules": path_rules,
        "incomplete": bool(unresolved),
    }
    if unresolved:
        status["evaluationError"] = ", ".join(unresolved)
    # Upstream answers with a new object that has nothing of the question's metadata.
    return {**review, "metadata": {"creationTimestamp": None}, "spec": {}, "status": status}


def _user(review: Obj) -> User:
    spec = review.get("spec") or {}
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _check(kind: str, review: Obj, faults: list[Cause]) -> None:
    if faults:
        refusal = errors.invalid(GROUP, kind, meta.name(review), faults)
        refusal.details.pop("kind", None)  # upstream names no kind of a question
        raise refusal


def _user_faults(review: Obj) -> list[Cause]:
    spec = review.get("spec") or {}
    if spec.get("user") or spec.get("groups"):
        return []
    return [causes.invalid("spec.user", "", "at least one of user or group must be specified")]


def _attribute_faults(review: Obj) -> list[Cause]:
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        told = "cannot be specified in combination with resourceAttributes"
        return [causes.invalid("spec.nonResourceAttributes", path, told)]
    if resource is None and path is None:
        told = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [causes.invalid("spec.resourceAttributes", None, told)]
    found = []
    for which in ("fieldSelector", "labelSelector"):
        selector, where = (resource or {}).get(which), f"spec.resourceAttributes.{which}"
        if selector is not None:
            found += _selector_faults(where, selector)
    return found


def _selector_faults(where: str, selector: Obj) -> list[Cause]:
    raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or []
    found = []
    if raw and requirements:
        told = "may not specified at the same time as requirements"
        found.append(causes.invalid(f"{where}.rawSelector", raw, told))
    if not raw and not requirements:
        told = f"when {where} is specified, requirements or rawSelector is required"
        found.append(causes.required(f"{where}.requirements", told))
    for at, requirement in enumerate(requirements):
        found += _requirement_faults(f"{where}.requirements[{at}]", requirement)
    return found


def _requirement_faults(where: str, requirement: Obj) -> list[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    found = []
    if not requirement.get("key"):
        found.append(causes.required(f"{where}.key", "must be specified"))
    if operator in ("In", "NotIn") and not values:
        told = "must be specified when `operator` is 'In' or 'NotIn'"
        found.append(causes.required(f"{where}.values", told))
    elif operator in ("Exists", "DoesNotExist") and values:
        told = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(causes.forbidden(f"{where}.values", told))
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        found.append(causes.invalid(f"{where}.operator", operator, "not a valid selector operator"))
    return found


def _answer(authorizer: Authorizer, review: Obj, user: User) -> Obj:
    attributes = _attributes(user, review)
    decision = authorizer.authorize(attributes)
    status: Obj = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    ignored = attributes.selectors.errors if attributes.selectors is not None else ()
    if ignored:
        status["evaluationError"] = "; ".join(ignored)
    return {**review, "metadata": _metadata(review), "status": status}


def _attributes(user: User, review: Obj) -> Attributes:
    spec = review.get("spec") or {}
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""))
    resource = spec["resourceAttributes"]
    return Attributes(
        user,
        resource.get("verb", ""),
        resource.get("group") or "",
        resource.get("version") or "*",
        resource.get("resource") or "",
        resource.get("subresource") or "",
        resource.get("namespace") or "",
        resource.get("name") or "",
        selectors=selectors.of_review(resource),
    )


def _metadata(review: Obj) -> Obj:
    return {**(review.get("metadata") or {}), "creationTimestamp": None}
