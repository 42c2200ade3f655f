"""What a list, watch or collection deletion selects: namespace, labels, fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kdist.api.errors import BadRequest
from kdist.api.selectors import (
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from kdist.apiserver.call import Call
from kdist.apiserver.validation import names
from kdist.storage.index import Term
from kdist.storage.interface import Unreadable
from kdist.storage.watchcache import BrokenEntry, Entry, WatchCache

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"


@dataclass(frozen=True, slots=True)
class Selection:
    """``scope`` is a cache scope (all, a namespace, one object); ``matches`` is None when all of it matches.

    ``having`` is a label or field with the only values that can match, for the cache to look up.
    """

    scope: str
    matches: Callable[[Entry], bool] | None
    #: Whether ``matches`` wants entries in the request's version, because a webhook converts the stored ones.
    of_served: bool = False
    having: tuple[Term, tuple[str, ...]] | None = None

    @property
    def is_range(self) -> bool:
        """Whether more than one object can be meant."""
        return not self.scope or self.scope.endswith("/")

    @property
    def range(self) -> str:
        """The scope that keys of a list are relative to: everything, or a namespace."""
        return self.scope if self.is_range else self.scope[: self.scope.rfind("/") + 1]

    def select(self, entries: list[Entry]) -> list[Entry]:
        """The entries that match, in order."""
        return entries if self.matches is None else [e for e in entries if self.matches(e)]

    def candidates(self, cache: WatchCache) -> list[Entry]:
        """The entries within the scope, in order."""
        if not self.is_range:
            entry = cache.get(cache.prefix + self.scope)
            if isinstance(entry, BrokenEntry):  # it has no fields to match by
                raise Unreadable(entry.key, entry.error)
            return [entry] if entry else []
        if self.having is not None:
            return cache.having(*self.having, self.scope)
        return list(cache.entries(self.scope))


def of(call: Call) -> Selection:
    """The selection of a request. BadRequest for selectors that do not parse or name unknown fields."""
    request = call.request
    try:
        labels = parse_label_selector(request.param("labelSelector"), names.qualified_name, names.label_value)
        asked = parse_field_selector(request.param("fieldSelector"))
    except SelectorError as error:
        raise BadRequest(str(error)) from error
    fields = _translated(call, asked)
    beyond_names = any(r.field not in (_NAME, _NAMESPACE) for r in fields.requirements)
    of_served = call.store.converter is not None and beyond_names
    having = None if of_served else _having(labels, fields)
    return Selection(_scope(call, fields), _matcher(labels, fields), of_served, having)


def _translated(call: Call, asked: FieldSelector) -> FieldSelector:
    """The selector in the names that the cache indexes, which are those of the stored version."""
    requirements = []
    for requirement in asked.requirements:
        field = call.store.strategy.field_label(requirement.field)
        if field is None:
            raise BadRequest(call.store.strategy.unknown_field(requirement.field))
        requirements.append(replace(requirement, field=field))
    return FieldSelector(tuple(requirements))


def _having(labels: LabelSelector, fields: FieldSelector) -> tuple[Term, tuple[str, ...]] | None:
    """What an index can answer: a field or label that must have one of some values."""
    for field in fields.requirements:
        if not field.negated and field.field not in (_NAME, _NAMESPACE):
            return Term(field.field, is_field=True), (field.value,)
    for label in labels.requirements:
        if label.operator == "In":
            return Term(label.key), label.values
    return None


def _scope(call: Call, fields: FieldSelector) -> str:
    """One object when the fields name it: such watches cost nothing when others change."""
    name = fields.exact(_NAME) or (call.name if call.request.info.verb == "watch" else "")
    if not call.resource.namespaced:
        return name or ""
    namespace = call.namespace or fields.exact(_NAMESPACE) or ""
    if not namespace:
        return ""
    return f"{namespace}/{name or ''}"


def _matcher(labels: LabelSelector, fields: FieldSelector) -> Callable[[Entry], bool] | None:
    if labels.everything and not fields.requirements:
        return None
    if not fields.requirements:
        return lambda entry: labels.matches(entry.labels)
    if labels.everything:
        return lambda entry: fields.matches(entry.fields)
    return lambda entry: labels.matches(entry.labels) and fields.matches(entry.fields)
