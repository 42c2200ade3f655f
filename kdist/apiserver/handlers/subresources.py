"""The handlers of subresources that are more than a view of the object, and of resources never stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kdist.apiserver.call import Call
from kdist.apiserver.handlers import reviews

Handler = Callable[[Call], Awaitable[None]]

HANDLERS: dict[str, dict[str, Handler]] = {
    "token": {"create": reviews.token_request},
}

# Resources without storage, by (group, plural).
VIRTUAL: dict[tuple[str, str], dict[str, Handler]] = {
    ("authentication.k8s.io", "tokenreviews"): {"create": reviews.token_review},
    ("authentication.k8s.io", "selfsubjectreviews"): {"create": reviews.self_subject_review},
    ("authorization.k8s.io", "subjectaccessreviews"): {"create": reviews.subject_access_review},
    ("authorization.k8s.io", "localsubjectaccessreviews"): {"create": reviews.local_subject_access_review},
    ("authorization.k8s.io", "selfsubjectaccessreviews"): {"create": reviews.self_subject_access_review},
    ("authorization.k8s.io", "selfsubjectrulesreviews"): {"create": reviews.self_subject_rules_review},
}
