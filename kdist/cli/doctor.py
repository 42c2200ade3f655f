"""``kdist doctor``: what is wrong with a cluster, why, and the command that mends it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from kdist.cli.site_options import INVENTORY
from kdist.cli.status import look
from kdist.lifecycle.care import doctor as care
from kdist.lifecycle.care.doctor import Finding, Severity
from kdist.lifecycle.operation.site import SiteError


@click.command()
@INVENTORY
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--list", "listing", is_flag=True, help="Only list the checks.")
def doctor(inventory: Path, output: str, listing: bool) -> None:
    """Check hosts and cluster; tell each finding with its cause and what mends it.

    Works while the API or hosts are down. Exit status: 0 nothing found, 1 something does not work, 2 only warnings.
    """
    if listing:
        for name, check in care.CHECKS.items():
            click.echo(f"{name:24}{(check.__doc__ or '').strip()}")
        return
    try:
        seen = asyncio.run(look(inventory))
    except SiteError as error:
        raise click.ClickException(str(error)) from error
    findings = care.examine(seen)
    if output == "json":
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings, len(seen.hosts))
    errors = any(finding.severity == Severity.ERROR for finding in findings)
    sys.exit(1 if errors else 2 if findings else 0)


def _show(findings: list[Finding], hosts: int) -> None:
    console = Console(highlight=False)
    for finding in findings:
        color = "red" if finding.severity == Severity.ERROR else "yellow"
        level = f"[{color}]{finding.severity.value}[/{color}]"
        told = f"[bold]{escape(finding.subject)}[/bold]: {escape(finding.finding)}"
        console.print(f"{level} {told}  ({finding.check})", soft_wrap=True)
        for label, text in (("why", finding.cause), ("mend", finding.mend)):
            console.print(f"    {label:5}", end="")
            console.print(text, soft_wrap=True, markup=False)
    checks = f"{len(care.CHECKS)} checks on {hosts} hosts"
    console.print(f"{checks}: {len(findings)} findings" if findings else f"{checks}: nothing found")
