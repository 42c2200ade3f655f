"""The records of all objects together, and which names change when one object does. Pure.

Several objects may have the same name (the reverse name of an address behind two Services): their values are
joined. An alias for a name inside the zone takes that name's addresses and follows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from kdist.dns.records import Records

_MAX_ALIASES = 8
_ADDRESSES = ("A ", "AAAA ")


@dataclass(frozen=True, slots=True)
class Difference:
    """Names to empty, then ``name -> values`` to add."""

    removed: tuple[str, ...]
    added: dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Zone:
    """All names of the cluster. ``domain`` is without the final dot."""

    domain: str
    _owned: dict[str, Records] = field(default_factory=dict)
    _owners: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _aliased_by: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # What the server was told last.
    _published: dict[str, frozenset[str]] = field(default_factory=dict)
    _dirty: set[str] = field(default_factory=set)

    def replace(self, owner: str, records: Records | None) -> None:
        """Take the current records of one object; None when it is gone."""
        old = self._owned.pop(owner, None) or Records()
        for name in (*old.values, *old.aliases):
            self._disown(name, owner)
        for name, target in old.aliases.items():
            self._aliased_by[target].discard(name)
        new = records or Records()
        if records:
            self._owned[owner] = records
        for name in (*new.values, *new.aliases):
            self._owners[name].add(owner)
        for name, target in new.aliases.items():
            self._aliased_by[target].add(name)
        for name in {*old.values, *old.aliases, *new.values, *new.aliases}:
            self._touch(name)

    def _disown(self, name: str, owner: str) -> None:
        self._owners[name].discard(owner)
        if not self._owners[name]:
            del self._owners[name]

    def _touch(self, name: str) -> None:
        """A name changed, and with it every alias for it."""
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current not in self._dirty:
                self._dirty.add(current)
                waiting += self._aliased_by.get(current, ())

    def values(self, name: str, depth: int = 0) -> frozenset[str]:
        """What a name has now."""
        found: set[str] = set()
        for owner in self._owners.get(name, ()):
            records = self._owned[owner]
            found |= records.values.get(name, set())
            target = records.aliases.get(name)
            if target and self._is_inside(target) and depth < _MAX_ALIASES:
                found |= {v for v in self.values(target, depth + 1) if v.startswith(_ADDRESSES)}
        return frozenset(found)

    def _is_inside(self, name: str) -> bool:
        return name.endswith(f".{self.domain}.")

    def external_aliases(self) -> dict[str, str]:
        """``name -> target`` of aliases for names outside the zone."""
        return {
            name: target
            for records in self._owned.values()
            for name, target in records.aliases.items()
            if not self._is_inside(target)
        }

    def difference(self) -> Difference:
        """What the server must be told since the last call, which it is taken to have been.

        A server can only empty a whole name, so a name that loses a value is emptied and filled again.
        """
        removed, added = [], {}
        for name in sorted(self._dirty):
            before, after = self._published.get(name, frozenset()), self.values(name)
            if before - after:
                removed.append(name)
            missing = after if before - after else after - before
            if missing:
                added[name] = tuple(sorted(missing))
            self._publish(name, after)
        self._dirty.clear()
        return Difference(tuple(removed), added)

    def everything(self) -> dict[str, tuple[str, ...]]:
        """All records, for a server that knows none; it is taken to have been told."""
        self._publish_all(self._owners)
        self._dirty.clear()
        return {name: tuple(sorted(values)) for name, values in self._published.items()}

    def _publish_all(self, names: Iterable[str]) -> None:
        self._published.clear()
        for name in names:
            self._publish(name, self.values(name))

    def _publish(self, name: str, values: frozenset[str]) -> None:
        if values:
            self._published[name] = values
        else:
            self._published.pop(name, None)
