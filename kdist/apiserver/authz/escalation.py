"""Nobody grants what they do not hold: checks on writes of roles and bindings."""

from __future__ import annotations

from kdist.api import errors, meta
from kdist.apiserver.authn.user import MASTERS, User
from kdist.apiserver.authz.attributes import Attributes, forbidden_because
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.authz.rules import Rule, compact, missing, parse_rules
from kdist.apiserver.ports import Obj

GROUP = "rbac.authorization.k8s.io"


def check_role(authorizer: Authorizer, user: User, resource: str, new: Obj, old: Obj | None) -> None:
    """Forbidden when the role grants more than the user holds, unless they may ``escalate`` it."""
    unchanged = old is not None and old.get("rules") == new.get("rules")
    if MASTERS in user.groups or (
        unchanged and (old or {}).get("aggregationRule") == new.get("aggregationRule")
    ):
        return
    if _may(authorizer, user, "escalate", resource, new):
        return
    namespace, rules = meta.namespace(new), list(parse_rules(new))
    if new.get("aggregationRule") and (old or {}).get("aggregationRule") != new.get("aggregationRule"):
        # What an aggregated role will grant is not known yet: it takes everything.
        every = frozenset({"*"})
        if missing(authorizer.rules(user, namespace), [Rule(every, every, every), Rule(every, urls=every)]):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden_because(GROUP, resource, meta.name(new), why)
    _require_held(authorizer, user, resource, new, rules, namespace)


def check_binding(authorizer: Authorizer, user: User, resource: str, new: Obj, old: Obj | None) -> None:
    """Forbidden when the bound role grants more than the user holds, unless they may ``bind`` it.

    NotFound when there is no such role: what it would grant is not known.
    """
    same = old is not None and all(old.get(f) == new.get(f) for f in ("roleRef", "subjects"))
    if MASTERS in user.groups or same:
        return
    ref, namespace = new.get("roleRef") or {}, meta.namespace(new)
    role_resource = "roles" if ref.get("kind") == "Role" else "clusterroles"
    role = {"metadata": {"name": ref.get("name", ""), "namespace": namespace}}
    if _may(authorizer, user, "bind", role_resource, role):
        return
    rules = authorizer.rbac.role_rules(namespace, ref)
    if rules is None:
        raise errors.not_found(GROUP, resource, ref.get("name", ""))
    _require_held(authorizer, user, resource, new, list(rules), namespace)


def _may(authorizer: Authorizer, user: User, verb: str, resource: str, role: Obj) -> bool:
    name, namespace = meta.name(role), meta.namespace(role)
    return authorizer.authorize(Attributes(user, verb, GROUP, "v1", resource, "", namespace, name)).allowed


def _require_held(
    authorizer: Authorizer, user: User, resource: str, obj: Obj, rules: list[Rule], namespace: str
) -> None:
    lacking = missing(authorizer.rules(user, namespace), rules)
    if not lacking:
        return
    groups = " ".join(f'"{group}"' for group in user.groups)
    listed = "\n".join(sorted(str(rule) for rule in compact(lacking)))
    why = (
        f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions '
        f"not currently held:\n{listed}"
    )
    raise forbidden_because(GROUP, resource, meta.name(obj), why)
