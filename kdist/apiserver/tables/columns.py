"""What every printer needs: column definitions from short texts, ages, joined lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kdist.api import meta, selectors
from kdist.api.meta import Obj

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Printer:
    """How one kind becomes table rows. ``cells`` takes the object and the time that ages count from."""

    columns: tuple[dict[str, Any], ...]
    cells: Callable[[Obj, datetime], list[Any]]


def printer(*columns: str) -> Callable[[Callable[[Obj, datetime], list[Any]]], Printer]:
    """Make a printer of a cells function. ``Name`` comes first of itself unless a column has that name.

    A column is ``Title``, ``Title:type``; a leading ``+`` makes it one of the wide ones.
    """
    named = columns if any(c.lstrip("+").split(":")[0] == "Name" for c in columns) else ("Name", *columns)
    definitions = tuple(_definition(column) for column in named)
    return lambda cells: Printer(definitions, cells)


def _definition(column: str) -> dict[str, Any]:
    title, _, type = column.removeprefix("+").partition(":")
    return {
        "name": title,
        "type": type or "string",
        "format": "name" if title in ("Name", "Attacher") else "",
        "description": "",
        "priority": 1 if column.startswith("+") else 0,
    }


def duration(seconds: float) -> str:
    """A length of time in at most two units, as kubectl shows ages."""
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(time: str | None, now: datetime) -> str:
    """The age of a moment; ``<unknown>`` when there is none."""
    return duration((now - meta.parse_time(time)).total_seconds()) if time else UNKNOWN


def age(obj: Mapping[str, Any], now: datetime) -> str:
    """The age of an object."""
    return since(meta.get(obj, "metadata.creationTimestamp"), now)


def joined(values: Iterable[Any], empty: str = NONE) -> str:
    """Comma-separated, or the placeholder."""
    return ",".join(str(v) for v in values) or empty


def labels(values: Mapping[str, str] | None) -> str:
    """``a=b,c=d`` in the order of keys, or ``<none>``."""
    return joined(f"{k}={v}" for k, v in sorted((values or {}).items()))


def selector(value: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as text, or ``<none>``."""
    if value is None:
        return NONE
    return str(selectors.from_label_selector(value)) or NONE


def images(spec: Mapping[str, Any] | None) -> list[str]:
    """The cells Containers and Images of a pod spec."""
    containers = (spec or {}).get("containers") or ()
    return [",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)]


def shown(value: Any, empty: str = NONE) -> Any:
    """The value, or the placeholder for what is missing or empty."""
    return empty if value in (None, "") else value


def flag(value: Any) -> str:
    """A boolean cell."""
    return "true" if value else "false"


def shortened(items: list[str], limit: int = 3) -> str:
    """The first items and how many more there are."""
    if not items:
        return NONE
    more = f" + {len(items) - limit} more..." if len(items) > limit else ""
    return ",".join(items[:limit]) + more


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def access_modes(modes: Iterable[str] | None) -> str:
    """``RWO,ROX`` in the usual order."""
    have = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in have)
