"""The elements of all Services together, and what changes when one of them does. Pure.

Two Services may claim one key (an external IP and port, or a pod behind both of them). The first claim holds;
when it is withdrawn, the next one takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kdist.proxy.chains import Chain
from kdist.proxy.plan import Elements, ServicePlan


@dataclass(frozen=True, slots=True)
class Change:
    """One element of ``set_name``: ``old`` is None when it is new, ``new`` is None when it goes."""

    set_name: str
    key: str
    old: str | None
    new: str | None


@dataclass(slots=True)
class Ledger:
    """Who claims which element. Not safe for use by several threads."""

    plans: dict[str, ServicePlan] = field(default_factory=dict)
    _owner: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _waiting: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def replace(self, service: str, plan: ServicePlan | None) -> list[Change]:
        """Take the new plan of ``service`` (None: it is gone) and return what changes."""
        old: Elements = self.plans[service].elements if service in self.plans else {}
        new: Elements = plan.elements if plan else {}
        if plan:
            self.plans[service] = plan
        else:
            self.plans.pop(service, None)
        changes: list[Change] = []
        for set_name in {**old, **new}:
            changes += self._replace_set(service, set_name, old.get(set_name, {}), new.get(set_name, {}))
        return changes

    def _replace_set(
        self, service: str, set_name: str, old: Mapping[str, str], new: Mapping[str, str]
    ) -> Iterable[Change]:
        for key in old.keys() - new.keys():
            yield from self._release(service, set_name, key, old[key])
        for key, value in new.items():
            owner = self._owner[set_name].get(key)
            if owner is None:
                self._owner[set_name][key] = service
                yield Change(set_name, key, None, value)
            elif owner != service:
                waiting = self._waiting.setdefault((set_name, key), [])
                if service not in waiting:
                    waiting.append(service)
            elif old[key] != value:
                yield Change(set_name, key, old[key], value)

    def _release(self, service: str, set_name: str, key: str, value: str) -> Iterable[Change]:
        waiting = self._waiting.get((set_name, key), [])
        if self._owner[set_name].get(key) != service:
            waiting.remove(service)
        elif waiting:
            heir = waiting.pop(0)
            self._owner[set_name][key] = heir
            inherited = self.plans[heir].elements[set_name][key]
            if inherited != value:
                yield Change(set_name, key, value, inherited)
        else:
            del self._owner[set_name][key]
            yield Change(set_name, key, value, None)
        if not waiting:
            self._waiting.pop((set_name, key), None)

    def elements(self) -> Elements:
        """Everything the table must hold."""
        return {
            set_name: {key: self.plans[owner].elements[set_name][key] for key, owner in owners.items()}
            for set_name, owners in self._owner.items()
        }

    def chains(self) -> set[Chain]:
        """Every chain that an element points to."""
        return {chain for plan in self.plans.values() for chain in plan.chains}
