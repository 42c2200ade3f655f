"""Authorization: who may do what. Node and RBAC modes, reviews, impersonation, escalation checks."""

from kdist.apiserver.authz.attributes import Attributes, Decision, forbidden, forbidden_because
from kdist.apiserver.authz.authorizer import Authorizer

__all__ = ["Attributes", "Authorizer", "Decision", "forbidden", "forbidden_because"]
