"""The handlers of subresources that are more than a view of the object, and of resources never stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kdist.apiserver.call import Call
from kdist.apiserver.handlers import binding, componentstatus, eviction, reviews, scale
from kdist.apiserver.streaming import pods, proxy

Handler = Callable[[Call], Awaitable[None]]

HANDLERS: dict[str, dict[str, Handler]] = {
    "attach": {"get": pods.attach, "create": pods.attach},
    "binding": {"create": binding.create},
    "eviction": {"create": eviction.create},
    "exec": {"get": pods.exec_, "create": pods.exec_},
    "log": {"get": pods.log},
    "portforward": {"get": pods.portforward, "create": pods.portforward},
    "proxy": dict.fromkeys(("get", "create", "update", "patch", "delete", ""), proxy.proxy),
    "scale": {"get": scale.get, "update": scale.update, "patch": scale.patch},
    "token": {"create": reviews.token_request},
}

# Resources without storage, by (group, plural).
VIRTUAL: dict[tuple[str, str], dict[str, Handler]] = {
    ("", "bindings"): {"create": binding.create_unnamed},
    ("", "componentstatuses"): {"get": componentstatus.get, "list": componentstatus.list_},
    ("authentication.k8s.io", "tokenreviews"): {"create": reviews.token_review},
    ("authentication.k8s.io", "selfsubjectreviews"): {"create": reviews.self_subject_review},
    ("authorization.k8s.io", "subjectaccessreviews"): {"create": reviews.subject_access_review},
    ("authorization.k8s.io", "localsubjectaccessreviews"): {"create": reviews.local_subject_access_review},
    ("authorization.k8s.io", "selfsubjectaccessreviews"): {"create": reviews.self_subject_access_review},
    ("authorization.k8s.io", "selfsubjectrulesreviews"): {"create": reviews.self_subject_rules_review},
}
