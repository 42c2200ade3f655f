"""``kdist plan``: what site.yml would change, and on which host."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kdist.cli.following import following
from kdist.cli.site_options import INVENTORY
from kdist.lifecycle import planning
from kdist.lifecycle.operation.runner import Event, PlaybookFailed, run_playbook
from kdist.lifecycle.operation.site import Site, SiteError
from kdist.lifecycle.planning import Change


@click.command()
@INVENTORY
@click.option("--limit", help="Only these hosts, comma-separated.")
@click.option("--diff", is_flag=True, help="Show the files that would change, line by line.")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True)
def plan(inventory: Path, limit: str | None, diff: bool, output: str) -> None:
    """Show what site.yml would change on which host; nothing is changed. Works before there is a cluster, too."""
    names = [name.strip() for name in limit.split(",")] if limit else []
    try:
        site = asyncio.run(Site.load(inventory))
        found = planning.changes(asyncio.run(_check(site, names)))
    except (SiteError, PlaybookFailed) as error:
        raise click.ClickException(str(error)) from error
    hosts = names or site.names
    if output == "json":
        click.echo(json.dumps([dataclasses.asdict(change) for change in found], indent=2))
        return
    terminal = Console(highlight=False)
    console = terminal if terminal.is_terminal else Console(highlight=False, width=160)
    _show(console, found, hosts)
    if diff:
        _show_diffs(console, found)


async def _check(site: Site, names: Sequence[str]) -> list[Event]:
    events: list[Event] = []
    with following("plan", len(names or site.names)) as on_event:

        def hear(event: Event) -> None:
            events.append(event)
            on_event(event)

        await run_playbook(site, "site.yml", None, limit=names, check=True, results=True, on_event=hear)
    return events


def _show(console: Console, found: Sequence[Change], hosts: Sequence[str]) -> None:
    if not found:
        console.print(f"site.yml would change nothing on {', '.join(hosts)}")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("HOST", "ROLE", "TASK", "WHAT"):
        table.add_column(column, overflow="fold")
    for host in hosts:
        for change in (one for one in found if one.host == host):
            table.add_row(host, change.role, change.task, escape("; ".join(change.what)))
    console.print(table)
    changed = len({change.host for change in found})
    console.print(
        f"{len(found)} changes on {changed} of {len(hosts)} hosts; do them: ansible-playbook site.yml"
    )


def _show_diffs(console: Console, found: Sequence[Change]) -> None:
    for change in found:
        for one in change.diff:
            console.print(f"[bold]{change.host}: {escape(one['path'])}[/bold]", soft_wrap=True)
            lines = difflib.unified_diff(
                one["before"].splitlines(), one["after"].splitlines(), lineterm="", n=2
            )
            for line in list(lines)[2:]:
                color = {"+": "green", "-": "red"}.get(line[:1], "default")
                console.print(f"[{color}]{escape(line)}[/{color}]", soft_wrap=True)
