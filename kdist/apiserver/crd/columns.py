"""Custom resources as table rows, by the printer columns of their definition."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.crd import jsonpath
from kdist.apiserver.tables.columns import Printer, since

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_NAME: Obj = {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}


def printer(version: Obj) -> Printer:
    """The printer of one version; without columns of its own it shows the age."""
    columns = version.get("additionalPrinterColumns") or [_AGE]
    paths = [jsonpath.parse(column["jsonPath"]) for column in columns]

    def cells(obj: Obj, now: datetime) -> list[Any]:
        found = (jsonpath.find(obj, path) for path in paths)
        shown = (_cell(values, c["type"], now) for values, c in zip(found, columns, strict=True))
        return [meta.name(obj), *shown]

    definitions = (
        {
            "name": column["name"],
            "type": column["type"],
            "format": column.get("format", ""),
            "description": column.get("description") or _described(column),
            "priority": column.get("priority", 0),
        }
        for column in columns
    )
    return Printer((_NAME, *definitions), cells)


def _described(column: Any) -> str:
    return f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"


def _cell(values: list[Any], kind: str, now: datetime) -> Any:
    """One cell; a value that is missing or of another type leaves it empty."""
    if not values:
        return None
    value = values[0]
    if kind == "string":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    if kind == "date":
        return since(value, now) if isinstance(value, str) else "<unknown>"
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else value
