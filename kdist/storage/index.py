"""Which entries of a watch cache have a value under a label or field, for the few that clients select by.

An index is made when it is first asked for and kept up to date from then on; the one that was not asked for the
longest goes when there are too many. A selection then costs what it finds, not what it passes over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kdist.storage.watchcache import Entry

KEPT = 8  # indexes of one cache


class Term(NamedTuple):
    """A label, or a selectable field. A field that an object does not have is empty, a label is not there."""

    name: str
    is_field: bool = False

    def value(self, entry: Entry) -> str | None:
        """What the entry has under this name."""
        return entry.fields.get(self.name, "") if self.is_field else entry.labels.get(self.name)


class Indexes:
    """The indexes of one cache, over its entries."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._kept: OrderedDict[Term, dict[str, set[str]]] = OrderedDict()

    def keys(self, term: Term, values: Iterable[str]) -> list[str]:
        """The keys of the entries that have one of the values, in order."""
        index = self._kept.get(term)
        if index is None:
            index = self._kept[term] = self._made(term)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(term)
        return sorted(set().union(*[index[value] for value in values if value in index]))

    def _made(self, term: Term) -> dict[str, set[str]]:
        index: dict[str, set[str]] = {}
        for key, entry in self._entries.items():
            if (value := term.value(entry)) is not None:
                index.setdefault(value, set()).add(key)
        return index

    def changed(self, key: str, before: Entry | None, after: Entry | None) -> None:
        """An entry came, went or changed."""
        for term, index in self._kept.items():
            was = term.value(before) if before is not None else None
            now = term.value(after) if after is not None else None
            if was == now:
                continue
            if was is not None:
                index[was].discard(key)
                if not index[was]:
                    del index[was]
            if now is not None:
                index.setdefault(now, set()).add(key)
