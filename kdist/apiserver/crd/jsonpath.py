"""The JSONPath of printer columns: fields, quoted fields, indices, wildcards and equality filters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""\.(?P<field>[\w-](?:[\w-]|\\.)*)|\[(?P<index>-?\d+)\]|(?P<all>\[\*\]|\.\*)"""
    r"""|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]"""
    r"""|\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*(?P<mark>['"])(?P<wanted>.*?)(?P=mark)\)\]"""
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a ``field``, an ``index``, a filter (``key`` equals ``wanted``) or, with none of them, all."""

    field: str | None = None
    index: int | None = None
    key: str = ""
    wanted: str = ""


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path. ValueError for what is not understood."""
    text = text.strip().removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"unexpected {text[at:]!r} in the path {text!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return Step(index=int(found["index"]))
    if found["key"] is not None:
        return Step(key=found["key"], wanted=found["wanted"])
    if found["all"] is not None:
        return Step()
    name = found["field"].replace("\\", "") if found["field"] is not None else found["quoted"]
    return Step(field=name)


def find(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    """The values at a path, without nulls."""
    values = [value]
    for step in steps:
        values = [found for item in values for found in _inside(item, step)]
    return [v for v in values if v is not None]


def _inside(value: Any, step: Step) -> list[Any]:
    if step.field is not None:
        return [value[step.field]] if isinstance(value, dict) and step.field in value else []
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if step.index is not None:
        return [items[step.index]] if -len(items) <= step.index < len(items) else []
    if step.key:
        below = tuple(Step(field=name) for name in step.key.split("."))
        return [item for item in items if step.wanted in map(str, find(item, below))]
    return items
