"""``kdist reset``: leave hosts as they were before kdist."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kdist.cli.following import following
from kdist.cli.site_options import INVENTORY
from kdist.lifecycle.operation.lock import Held, LockHeld, NoHostForLock, operator_lock
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import Event, PlaybookFailed, run_playbook
from kdist.lifecycle.operation.site import Site, SiteError

_TASK = "Take kdist away"
console = Console(highlight=False)


@click.command()
@INVENTORY
@click.option("--limit", help="Only these hosts, comma-separated.")
@click.option(
    "--keep-data", is_flag=True, help="Leave etcd's data and snapshots, local volumes and their keys."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check", is_flag=True, help="Only say what would be taken away.")
@click.option("--break-lock", is_flag=True, help="Take the lock of an operator who is known to be gone.")
def reset(
    inventory: Path, limit: str | None, keep_data: bool, yes: bool, check: bool, break_lock: bool
) -> None:
    """Take kdist away from hosts: exactly what it added, by the ledger on each of them.

    Works on half-installed hosts and can be repeated. A host that does not answer stops no other; exit status 1.
    """
    try:
        site = asyncio.run(Site.load(inventory))
        hosts = _chosen(site, limit)
        if not check and not yes:
            _ask(hosts, keep_data)
        events = asyncio.run(_run(site, hosts, keep_data, check, break_lock))
    except (SiteError, LockHeld, HostError) as error:
        raise click.ClickException(str(error)) from error
    results = {
        e.host: e.result or {} for e in events if e.task.endswith(_TASK) and e.kind in ("ok", "changed")
    }
    console.print(_table(results, check))
    for name, result in results.items():
        for subject, reason in (result.get("stays") or {}).items():
            console.print(f"{name}: {subject} stays: {reason}", soft_wrap=True)
    failures = [e for e in events if e.kind in ("failed", "unreachable")]
    for event in failures:
        console.print(f"[red]{event.host}: {event.kind}:[/red] {event.message}", soft_wrap=True)
    if not check and set(hosts) != set(site.names) and results:
        console.print(
            f"The cluster may still list {', '.join(results)}: kubectl delete node {' '.join(results)}"
        )
    sys.exit(1 if failures else 0)


def _chosen(site: Site, limit: str | None) -> list[str]:
    if limit is None:
        return site.names
    asked = [name.strip() for name in limit.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in site.names]:
        raise click.ClickException(
            f"no host {', '.join(unknown)} in {site.inventory}; there are {', '.join(site.names)}"
        )
    return asked


def _ask(hosts: Sequence[str], keep_data: bool) -> None:
    what = "everything of kdist but its data" if keep_data else "everything of kdist, its data included,"
    click.echo(f"This takes {what} away from: {', '.join(hosts)}")
    click.confirm("Go on?", abort=True, err=True)


async def _run(
    site: Site, hosts: Sequence[str], keep_data: bool, check: bool, break_lock: bool
) -> list[Event]:
    events: list[Event] = []
    variables = {"reset_confirmed": True, "reset_keep_data": keep_data}
    async with AsyncExitStack() as stack:
        held = None if check else await _lock(site, stack, break_lock)
        on_event = stack.enter_context(following("reset", len(hosts)))

        def hear(event: Event) -> None:
            events.append(event)
            on_event(event)

        try:
            await run_playbook(
                site,
                "playbooks/reset.yml",
                held,
                limit=hosts,
                extra=variables,
                check=check,
                results=True,
                on_event=hear,
            )
        except PlaybookFailed as error:
            if not any(event.host for event in events):
                raise click.ClickException(str(error)) from error
    return events


async def _lock(site: Site, stack: AsyncExitStack, break_lock: bool) -> Held | None:
    try:
        return await stack.enter_async_context(operator_lock(site, "kdist reset", break_lock=break_lock))
    except NoHostForLock as error:
        # A cluster whose control planes are gone must be resettable too; nobody can be working on it.
        console.print(f"[yellow]without a lock:[/yellow] {error}", soft_wrap=True)
        return None


def _table(results: Mapping[str, Mapping[str, Any]], check: bool) -> Table:
    table = Table(box=None)
    table.add_column("HOST")
    table.add_column("WOULD BE TAKEN AWAY" if check else "TAKEN AWAY")
    for name, result in results.items():
        table.add_row(name, _told(result.get("removed") or {}))
    return table


def _told(removed: Mapping[str, Sequence[str]]) -> str:
    counts = [f"{len(subjects)} {_several(kind, len(subjects))}" for kind, subjects in removed.items()]
    return ", ".join(counts) or "nothing: there is nothing of kdist here"


def _several(kind: str, count: int) -> str:
    if count == 1 or kind == "nftables":
        return kind
    return kind + ("es" if kind.endswith("s") else "s")
