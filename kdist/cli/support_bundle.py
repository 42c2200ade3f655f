"""``kdist support-bundle``: logs, state and objects of a cluster in one archive, without secrets."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
from rich.console import Console

from kdist.cli.site_options import INVENTORY
from kdist.lifecycle.care.support import collect
from kdist.lifecycle.operation.site import Site, SiteError


@click.command("support-bundle")
@INVENTORY
@click.option(
    "--file",
    "-f",
    type=click.Path(path_type=Path),
    help="The archive; by default kdist-support-TIME.tar.gz here.",
)
@click.option("--hours", default=24, show_default=True, help="How far back logs of units go.")
@click.option("--lines", default=5000, show_default=True, help="Most lines of one log.")
def support_bundle(inventory: Path, file: Path | None, hours: int, lines: int) -> None:
    """Collect versions, logs, manifests, objects, events and network state of every host into a tar.gz.

    Secrets, tokens and private keys are left out or blacked out. Works while the API or hosts are down; what is missing
    is listed in it. Look through it before you hand it on.
    """
    path = file or Path(f"kdist-support-{time.strftime('%Y%m%dT%H%M%S')}.tar.gz")
    console = Console(stderr=True, highlight=False)
    try:
        site = asyncio.run(Site.load(inventory))
        archive = asyncio.run(
            collect(site, path, hours, lines, lambda line: console.print(line, soft_wrap=True, markup=False))
        )
    except (SiteError, OSError) as error:
        raise click.ClickException(str(error)) from error
    size = path.stat().st_size / (1 << 20)
    click.echo(f"{path}: {archive.files} files, {size:.1f} MiB; {len(archive.missing)} things are missing")
