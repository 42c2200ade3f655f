"""RBAC policy rules, compiled: sets instead of lists, and the questions asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from kdist.apiserver.authz.attributes import Attributes
from kdist.apiserver.ports import Obj

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rbac.authorization.k8s.io/v1 PolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, rule: Obj) -> Rule:
        """Compile the API's form."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(frozenset(rule.get(field) or ()) for field in fields))

    def allows(self, attributes: Attributes) -> bool:
        """Whether this rule grants the request."""
        if attributes.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not attributes.resource:
            return self._has_url(attributes.path)
        return (
            (attributes.group in self.groups or ALL in self.groups)
            and self._has_resource(attributes.full_resource, attributes.subresource)
            and (not self.names or attributes.name in self.names)
        )

    def _has_resource(self, full: str, subresource: str) -> bool:
        if full in self.resources or ALL in self.resources:
            return True
        return bool(subresource) and f"*/{subresource}" in self.resources

    def _has_url(self, path: str) -> bool:
        if path in self.urls or ALL in self.urls:
            return True
        return any(url.endswith(ALL) and path.startswith(url[:-1]) for url in self.urls)

    def atoms(self) -> Iterator[Rule]:
        """The rule taken apart into rules of one verb, group, resource, name or URL each."""
        names: list[frozenset[str]] = [frozenset({n}) for n in self.names] or [frozenset()]
        for verb, group, resource, name in product(self.verbs, self.groups, self.resources, names):
            yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), name)
        for verb, url in product(self.verbs, self.urls):
            yield Rule(frozenset({verb}), urls=frozenset({url}))

    def covers(self, atom: Rule) -> bool:
        """Whether whoever holds this rule holds the atom (wildcards of the atom included) as well."""
        if ALL not in self.verbs and not atom.verbs <= self.verbs:
            return False
        if atom.urls:
            return all(self._has_url(url) for url in atom.urls)
        if ALL not in self.groups and not atom.groups <= self.groups:
            return False
        if self.names and not (atom.names and atom.names <= self.names):
            return False
        return all(self._has_resource(r, r.partition("/")[2]) for r in atom.resources)

    def as_api(self) -> Obj:
        """The API's form, with stable order."""
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {field: sorted(values) for field, values in fields.items() if values}

    def __str__(self) -> str:
        shown = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "ResourceNames": self.names,
            "NonResourceURLs": self.urls,
            "Verbs": self.verbs,
        }
        quoted = {k: " ".join(f'"{v}"' for v in sorted(values)) for k, values in shown.items() if values}
        return "{" + ", ".join(f"{key}:[{text}]" for key, text in quoted.items()) + "}"


def parse_rules(role: Obj) -> tuple[Rule, ...]:
    """The compiled rules of a Role or ClusterRole."""
    return tuple(Rule.parse(rule) for rule in role.get("rules") or ())


def missing(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The atoms of ``wanted`` that no rule of ``held`` covers."""
    holder = list(held)
    return [atom for rule in wanted for atom in rule.atoms() if not any(own.covers(atom) for own in holder)]


def compact(atoms: Iterable[Rule]) -> list[Rule]:
    """Rules that differ in nothing but their verbs as one, for people to read."""
    verbs: dict[Rule, frozenset[str]] = {}
    for atom in atoms:
        rest = replace(atom, verbs=frozenset())
        verbs[rest] = verbs.get(rest, frozenset()) | atom.verbs
    return [replace(rest, verbs=together) for rest, together in verbs.items()]
