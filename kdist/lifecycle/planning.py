"""What site.yml would change: its own check mode, read as a list of changes. Pure, but for :func:`changes`'s input.

There is no second description of what an installation does: the plan is the run in check mode, task by task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.lifecycle.operation.runner import Event

# Where modules tell what they would do, and how that is read out.
_LISTS = {
    "written": "write",
    "installed": "install",
    "imported": "import",
    "objects": "apply",
    "made": "make",
    "done": "systemctl",
}
# More of one kind than this is told as a number.
MOST = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One task that would change a host. ``what``: in words; ``diff``: files before and after, secret ones left out."""

    host: str
    role: str
    task: str
    what: tuple[str, ...]
    diff: tuple[Mapping[str, str], ...] = ()


def changes(events: Iterable[Event]) -> list[Change]:
    """The changes among the events of a run, in its order."""
    return [_change(event) for event in events if event.kind == "changed"]


def _change(event: Event) -> Change:
    role, _, task = event.task.rpartition(" : ")
    result = event.result or {}
    return Change(event.host, role, task, tuple(_what(result)), tuple(_diffs(result)))


def _what(result: Mapping[str, Any]) -> Iterator[str]:
    for key, verb in _LISTS.items():
        found = result.get(key)
        if isinstance(found, list) and found:
            yield f"{verb} {_listed([str(item) for item in found])}"
    if isinstance(missing := result.get("missing"), list) and missing:
        yield f"send {len(missing)} files"
    if version := result.get("version"):
        yield f"unpack {version}" + (f" beside {result['previous']}" if result.get("previous") else "")
    reasons = result.get("reasons")
    if isinstance(reasons, Mapping) and reasons:
        yield f"issue {_listed([f'{name} ({reason})' for name, reason in reasons.items()])}"


def _listed(names: list[str]) -> str:
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{', '.join(names[:MOST])} and {len(names) - MOST} more"


def _diffs(result: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    given = result.get("diff")
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, Mapping) and isinstance(one.get("after"), str):
            before = one.get("before")
            yield {
                "path": str(one.get("after_header", "")),
                "before": before if isinstance(before, str) else "",
                "after": one["after"],
            }
