"""StorageClasses: all but the topology and expansion is for life."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, ruled, word

_PARAMETERS_LIMIT = 512
_PARAMETERS_SIZE = 256 * 1024
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


class StorageClassStrategy(Strategy):
    """StorageClasses."""

    checks_required = False

    def default(self, obj: Obj) -> None:
        """Deleted with the claim, bound at once."""
        fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def check(self, obj: Obj) -> list[Cause]:
        """Provisioner, parameters, policies, topology."""
        found = needed(obj, "", "provisioner")
        if name := obj.get("provisioner"):
            found += ruled("provisioner", name.lower(), names.qualified_name)
        found += _parameters(obj.get("parameters") or {})
        if policy := obj.get("reclaimPolicy"):
            found += word("reclaimPolicy", policy, ("Delete", "Retain"))
        found += word("volumeBindingMode", obj.get("volumeBindingMode"), _BINDING_MODES)
        return [*found, *_topologies(obj.get("allowedTopologies") or [])]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What volumes were made by cannot change."""
        found = [
            causes.forbidden(field, f"updates to {field} are forbidden.")
            for field in ("parameters", "provisioner", "reclaimPolicy")
            if new.get(field) != old.get(field)
        ]
        mode = "volumeBindingMode"
        return found + causes.immutable(mode, new.get(mode), old.get(mode))


def _parameters(parameters: dict[str, str]) -> list[Cause]:
    if len(parameters) > _PARAMETERS_LIMIT:
        return [causes.too_long("parameters", _PARAMETERS_LIMIT)]
    found = [causes.invalid("parameters", "", "field can not be empty.")] if "" in parameters else []
    if sum(len(k.encode()) + len(v.encode()) for k, v in parameters.items()) > _PARAMETERS_SIZE:
        found.append(causes.too_long("parameters", _PARAMETERS_SIZE))
    return found


def _topologies(terms: list[Obj]) -> Iterator[Cause]:
    seen: list[dict[str, set[str]]] = [
        {}
    ]  # a term without expressions repeats nothing, and is refused as that
    for at, term in enumerate(terms):
        where = f"allowedTopologies[{at}].matchLabelExpressions"
        known: dict[str, set[str]] = {}
        for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
            yield from _expression(expression, f"{where}[{index}]", known)
            known[expression.get("key") or ""] = set(expression.get("values") or ())
        if known in seen:
            yield causes.duplicate(where, "")
        seen.append(known)


def _expression(expression: Obj, where: str, known: dict[str, set[str]]) -> Iterator[Cause]:
    key, values = expression.get("key") or "", expression.get("values") or []
    yield from needed(expression, where, "values")
    for at, value in enumerate(values):
        if value in values[:at]:
            yield causes.duplicate(f"{where}.values[{at}]", value)
    yield from ruled(f"{where}.key", key, names.qualified_name)
    if key in known:
        yield causes.duplicate(f"{where}.key", key)
