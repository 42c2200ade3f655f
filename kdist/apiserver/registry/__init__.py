"""Per-resource rules: one strategy per resource, generic rules for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdist.apiserver.registry.base import Strategy

if TYPE_CHECKING:
    from kdist.api.scheme import Resource

__all__ = ["Strategy", "strategy_for"]


def strategy_for(resource: Resource) -> Strategy:
    """The rules of a resource; call once per resource and keep the result."""
    return Strategy(resource)
