"""``kdist status``: one screen about a cluster, drawn from hosts and API alike."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kdist.cli.site_options import INVENTORY
from kdist.lifecycle.care import doctor, picture
from kdist.lifecycle.care.status import PARTS, report
from kdist.lifecycle.operation.site import Site, SiteError

GIB = 1 << 30


@click.command()
@INVENTORY
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(inventory: Path, output: str) -> None:
    """Show hosts, control plane, etcd, certificates, add-ons and problems. Works while the API or hosts are down.

    Exit status 1 when something is wrong.
    """
    try:
        seen = asyncio.run(look(inventory))
    except SiteError as error:
        raise click.ClickException(str(error)) from error
    told = report(seen, doctor.examine(seen))
    if output == "json":
        click.echo(json.dumps(told, indent=2))
    else:
        terminal = Console(highlight=False)
        # In a file or a pipe there is no edge to fold at.
        show(told, terminal if terminal.is_terminal else Console(highlight=False, width=160))
    sys.exit(0 if told["healthy"] else 1)


async def look(inventory: Path) -> picture.Picture:
    """One look at the cluster of an inventory. Raises SiteError."""
    site = await Site.load(inventory)
    console = Console(stderr=True)
    with console.status(f"looking at {len(site.names)} hosts") if console.is_terminal else _Quiet():
        return await picture.take(site)


class _Quiet:
    """No progress where nobody looks."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def show(told: Mapping[str, Any], console: Console) -> None:
    """The report as tables."""
    console.print(_hosts(told["hosts"]))
    console.print(_control_plane(told["control_plane"]))
    console.print(_etcd(told["etcd"]))
    console.print(_certificates(told["certificates"]))
    if told["addons"]:
        console.print(_addons(told["addons"]))
    pods = ", ".join(f"{count} {phase}" for phase, count in sorted(told["pods"].items()))
    console.print(f"[bold]Pods[/bold]  {pods or 'unknown: ' + told['api_reason']}\n", soft_wrap=True)
    for operation in told["operations"]:
        about = (
            operation.get("holder")
            or f"{operation['operation']}: {operation['state']}, {operation['done']} of {operation['of']} steps"
        )
        console.print(f"[bold]Operation[/bold]  {about}", soft_wrap=True)
    problems = told["problems"]
    if not problems:
        console.print("[bold]Problems[/bold]  none")
        return
    table = _table("Problems", "", "WHERE", "WHAT", "WHY")
    for problem in problems:
        color = "red" if problem["severity"] == "error" else "yellow"
        about = [escape(problem[key]) for key in ("subject", "finding", "cause")]
        table.add_row(f"[{color}]{problem['severity']}[/{color}]", *about)
    console.print(table)
    console.print("What mends them: kdist doctor")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _hosts(hosts: Iterable[Mapping[str, Any]]) -> Table:
    table = _table(
        "Hosts", "HOST", "ADDRESS", "ROLE", "NODE", "RELEASE", "RUNTIME", "SYSTEM", "MEMORY FREE", "DISK FREE"
    )
    for host in hosts:
        if not host["reachable"]:
            table.add_row(host["name"], host["address"], host["role"], "[red]no answer[/red]")
            continue
        node = host["node"]
        table.add_row(
            host["name"],
            host["address"],
            host["role"],
            f"[green]{node}[/green]" if node == "Ready" else f"[red]{node}[/red]",
            host["release"] or "[red]none[/red]",
            host["runtime"].removeprefix("containerd://").split("~")[0],
            host["os"].split(" (")[0].replace(" GNU/Linux", ""),
            _share(host["memory_available"], host["memory_total"]),
            _share(host["disk_free"], host["disk_size"]),
        )
    return table


def _share(free: int | None, size: int | None) -> str:
    return f"{free / GIB:.0f}/{size / GIB:.0f} GiB" if free is not None and size else ""


def _good(state: str, good: str) -> str:
    return f"[green]{state}[/green]" if state == good else f"[red]{state or 'none'}[/red]"


def _control_plane(planes: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Control plane", "HOST", "VERSION", "API SERVER", "CONTROLLER MANAGER", "SCHEDULER")
    for plane in planes:
        cells = []
        for part in PARTS:
            one = plane[part]
            state = _good(one["state"], "ready" if part == "kube-apiserver" else "running")
            cells.append(
                state
                + (" (leads)" if one["leads"] else "")
                + (f", {one['restarts']} restarts" if one["restarts"] else "")
            )
        table.add_row(plane["host"], plane["version"], *cells)
    return table


def _etcd(members: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("etcd", "MEMBER", "STATE", "VERSION", "REVISION", "SIZE", "DISK P99", "SNAPSHOTS")
    for member in members:
        known = member.get("size") is not None
        fsync = member.get("fsync_p99")
        table.add_row(
            member["host"],
            f"[green]{member['state']}[/green]" if known else f"[red]{member['state']}[/red]",
            member.get("version", ""),
            str(member.get("revision", "")),
            f"{member['size'] / (1 << 20):.1f} MiB" if known else "",
            f"{fsync * 1000:.0f} ms" if fsync is not None else "",
            f"{member['snapshots']}, newest {member['newest_snapshot']}"
            if member["newest_snapshot"]
            else "none",
        )
    return table


def _certificates(hosts: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Certificates", "HOST", "COUNT", "FIRST TO END", "FIRST AUTHORITY TO END")
    for host in hosts:
        table.add_row(host["host"], str(host["count"]), _days(host["first"]), _days(host["first_authority"]))
    return table


def _days(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    color = "red" if one["days"] < 0 else "yellow" if one["days"] < 30 else "green"
    return f"[{color}]{one['days']} days[/{color}] {one['name']}"


def _addons(workloads: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Add-ons", "NAME", "KIND", "VERSION", "AVAILABLE")
    for item in workloads:
        told = f"{item['available']} of {item['wanted']}"
        table.add_row(
            item["name"],
            item["kind"],
            item["version"],
            f"[{'green' if item['available'] >= item['wanted'] else 'red'}]{told}[/]",
        )
    return table
