"""Checks of single fields that the rules of many resources are made of.

``where`` is the path of the object that holds the fields; its fields lie at ``where.NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.apiserver.validation import causes, names

NOT_NEGATIVE = "must be greater than or equal to 0"


def at(where: str, name: str) -> str:
    """The path of a field, also of one at the root."""
    return f"{where}.{name}" if where else name


def needed(obj: Mapping[str, Any], where: str, *fields: str) -> list[Cause]:
    """A cause for each of the fields that is absent or empty."""
    return [causes.required(at(where, name)) for name in fields if obj.get(name) in (None, "", [], {})]


def ruled(field: str, value: str, rule: names.Rule) -> list[Cause]:
    """What a grammar says about a text."""
    return [causes.invalid(field, value, complaint) for complaint in rule(value)]


def word(field: str, value: str | None, words: Iterable[str]) -> list[Cause]:
    """A cause when the value is none of the words, which are told in alphabetical order."""
    known = sorted(words)
    return [] if value in known else [causes.not_supported(field, value or "", known)]


def not_negative(field: str, value: int | None) -> list[Cause]:
    """A cause when the number is below zero."""
    return [causes.invalid(field, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def between(field: str, value: int, low: int, high: int) -> list[Cause]:
    """A cause when the number is out of its range."""
    told = f"must be between {low} and {high}, inclusive"
    return [] if low <= value <= high else [causes.invalid(field, value, told)]


def positive_amount(field: str, amount: str) -> list[Cause]:
    """A cause when a quantity is zero or less."""
    return [] if quantity.parse(amount) > 0 else [causes.invalid(field, amount, "must be greater than zero")]


def amount_not_negative(field: str, amount: str) -> list[Cause]:
    """A cause when a quantity is less than zero."""
    return [] if quantity.parse(amount) >= 0 else [causes.invalid(field, amount, NOT_NEGATIVE)]


def no_steps_back(field: str, path: str) -> list[Cause]:
    """A cause when a path leaves the directory that it begins in."""
    return [causes.invalid(field, path, "must not contain '..'")] if ".." in path.split("/") else []
