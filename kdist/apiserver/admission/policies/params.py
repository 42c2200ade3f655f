"""The parameters that a binding refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kdist.api import meta, selectors
from kdist.api.kinds import Kind
from kdist.apiserver.admission.policies.compilation import ParamRef
from kdist.apiserver.ports import Obj


class ConfigurationError(Exception):
    """A policy or a binding cannot be applied as it is."""


class Lookup(Protocol):
    """Reads of any served kind, from caches that are loaded when they are first needed."""

    async def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""

    async def find_all(self, kind: Kind, namespace: str) -> list[Obj]:
        """All objects, of one namespace if there is one."""


async def collect(lookup: Lookup, kind: Kind | None, ref: ParamRef | None, namespace: str) -> Sequence[Any]:
    """What to evaluate the policy with, one after the other; None where it takes no parameter.

    ``namespace`` is the request's. ConfigurationError, also when there are none but have to be.
    """
    if kind is None or ref is None:
        return (None,)
    scope = _namespace(kind, ref, namespace)
    if ref.name:
        found = await lookup.find(kind, scope, ref.name)
        params = [found] if found is not None else []
    else:
        selector = selectors.from_label_selector(ref.selector or {})
        params = [obj for obj in await lookup.find_all(kind, scope) if selector.matches(meta.labels(obj))]
    if not params and ref.deny_missing:
        raise ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return params


def _namespace(kind: Kind, ref: ParamRef, namespace: str) -> str:
    if not kind.namespaced:
        if ref.namespace:
            raise ConfigurationError(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        return ""
    if not (ref.namespace or namespace):
        raise ConfigurationError(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return ref.namespace or namespace
