"""Tables about etcd for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from kdist.lifecycle.etcd.health import Health, Row
from kdist.lifecycle.etcd.snapshots import ENCRYPTION

_console = Console(highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def _age(time: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())
    days, rest = divmod(seconds, 86400)
    return f"{days}d{rest // 3600}h" if days else f"{rest // 3600}h{rest % 3600 // 60}m"


def _role(row: Row) -> str:
    if row.running is None:
        return "[red]down[/red]"
    return "leader" if row.leader else "learner" if row.learner else "member"


def show_health(health: Health, seen: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Members, then what is to be mended."""
    table = _table("MEMBER", "STATE", "REVISION", "FILE", "IN USE", "LAST SNAPSHOT")
    for row in health.rows:
        own = seen.get(row.name)
        kept = own["snapshots"]["list"] if own else []
        snapshot = f"revision {kept[-1]['revision']}, {_age(kept[-1]['time'])} ago" if kept else ""
        run = row.running
        numbers = (str(run.revision), _size(run.size), _size(run.in_use)) if run else ("", "", "")
        table.add_row(row.name, _role(row), *numbers, snapshot)
    _console.print(table)
    _console.print("quorum: " + ("yes" if health.quorum else "[red]no[/red]"))
    for finding in health.findings:
        colour = "red" if finding.serious else "yellow"
        _console.print(f"[{colour}]![/{colour}] {finding.text}\n  → {finding.remedy}", soft_wrap=True)


def show_snapshots(found: list[dict[str, Any]]) -> None:
    """One line a snapshot."""
    table = _table("NAME", "HOST", "AGE", "KEYS", "SIZE", "REASON", "HOLDS")
    for one in found:
        files = one["files"]
        table.add_row(
            one["name"],
            one["host"],
            _age(one["time"]),
            str(one["keys"]),
            _size(one["size"]),
            one["reason"],
            ", ".join(
                ["encryption keys"] * (ENCRYPTION in files)
                + ["PKI"] * any(f.startswith("pki/") for f in files)
            ),
        )
    _console.print(table)


def show_alarms(
    health: Health, seen: Mapping[str, Mapping[str, Any] | None], largest: list[tuple[str, int, int]]
) -> bool:
    """Alarms, how full each member is, which resources fill it; whether an alarm is raised."""
    names = {row.id: row.name for row in health.rows}
    raised = sorted({(names.get(i, f"{i:x}"), name) for s in seen.values() if s for i, name in s["alarms"]})
    for member, name in raised:
        _console.print(f"[red]alarm {name}[/red] raised by {member}")
    if not raised:
        _console.print("no alarm is raised")
    quotas = {host: s["quota"] for host, s in seen.items() if s}
    table = _table("MEMBER", "FILE", "IN USE", "QUOTA")
    for row in health.rows:
        if row.running:
            quota = quotas.get(row.name)
            table.add_row(
                row.name, _size(row.running.size), _size(row.running.in_use), _size(quota) if quota else ""
            )
    _console.print(table)
    table = _table("RESOURCE", "OBJECTS", "SIZE")
    for resource, count, size in largest[:10]:
        table.add_row(resource, str(count), _size(size))
    _console.print(table)
    if raised:
        _console.print("→ kdist etcd alarms --mend", soft_wrap=True)
    return bool(raised)
