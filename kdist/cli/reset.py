"""``kdist reset``: leave hosts as they were before kdist."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kdist.cli.following import following
from kdist.lifecycle import playbooks
from kdist.lifecycle.playbooks import Event, PlaybookFailed

_TASK = "Take kdist away"
console = Console(highlight=False)


@click.command()
@click.option(
    "--inventory",
    "-i",
    type=click.Path(exists=True, path_type=Path),
    default="inventory/lab",
    show_default=True,
)
@click.option("--limit", help="Only these hosts (an Ansible pattern).")
@click.option(
    "--keep-data", is_flag=True, help="Leave etcd's data and snapshots, local volumes and their keys."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check", is_flag=True, help="Only say what would be taken away.")
def reset(inventory: Path, limit: str | None, keep_data: bool, yes: bool, check: bool) -> None:
    """Take kdist away from hosts: exactly what it added, by the ledger on each of them.

    Works on half-installed hosts and can be repeated. A host that does not answer stops no other; exit status 1.
    """
    try:
        hosts = playbooks.hosts_of(inventory, [limit] if limit else ["kube_control_plane", "kube_node"])
        if not check and not yes:
            _ask(hosts, keep_data)
        arguments = [*(["--limit", limit] if limit else []), *(["--check"] if check else [])]
        variables = {"reset_confirmed": True, "reset_keep_data": keep_data}
        with following("reset", len(hosts)) as on_event:
            run = playbooks.run(
                "playbooks/reset.yml", inventory, *arguments, variables=variables, on_event=on_event
            )
    except PlaybookFailed as error:
        raise click.ClickException(str(error)) from error
    results = run.results(_TASK)
    console.print(_table(results, check))
    for name, event in results.items():
        for subject, reason in (event.result.get("stays") or {}).items():
            console.print(f"{name}: {subject} stays: {reason}", soft_wrap=True)
    failures = run.failures()
    for event in failures:
        console.print(f"[red]{event.host}: {event.status}:[/red] {playbooks.reason(event)}", soft_wrap=True)
    sys.exit(1 if failures else 0)


def _ask(hosts: list[str], keep_data: bool) -> None:
    what = "everything of kdist but its data" if keep_data else "everything of kdist, its data included,"
    click.echo(f"This takes {what} away from: {', '.join(hosts)}")
    click.confirm("Go on?", abort=True, err=True)


def _table(results: Mapping[str, Event], check: bool) -> Table:
    table = Table(box=None)
    table.add_column("HOST")
    table.add_column("WOULD BE TAKEN AWAY" if check else "TAKEN AWAY")
    for name, event in results.items():
        if event.status in ("ok", "changed"):
            table.add_row(name, _told(event.result.get("removed") or {}))
    return table


def _told(removed: Mapping[str, list[Any]]) -> str:
    counts = [
        f"{len(subjects)} {kind}{'' if len(subjects) == 1 else 's'}" for kind, subjects in removed.items()
    ]
    return ", ".join(counts) or "nothing: there is nothing of kdist here"
