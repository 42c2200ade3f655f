"""``kdist etcd``: the care of a cluster's etcd from the operator's machine.

Commands that look are here, those that change a cluster in :mod:`etcd_mending`. The local group runs on hosts, where
the terminal's libraries are not installed: what needs them is imported where it is used.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from kdist.cli import etcd_mending
from kdist.cli.etcd_local import local
from kdist.cli.etcd_options import OUTPUT, told
from kdist.cli.site_options import INVENTORY
from kdist.lifecycle.etcd import fetching, health, operations, snapshots
from kdist.lifecycle.etcd.remote import ask_all
from kdist.lifecycle.etcd.snapshots import Manifest
from kdist.lifecycle.operation.site import Site


@click.group()
def etcd() -> None:
    """Care for etcd: snapshots, restore, lost quorum, space."""


for _command in (
    local,
    etcd_mending.restore,
    etcd_mending.recover,
    etcd_mending.rejoin,
    etcd_mending.defrag,
    etcd_mending.alarms,
):
    etcd.add_command(_command)


@etcd.command()
@INVENTORY
@OUTPUT
@told
async def status(inventory: Path, output: str) -> None:
    """Show members, snapshots and what is to be mended; exit 1 when something is."""
    answers = await operations.observed(await Site.load(inventory))
    seen = {host: answer.value for host, answer in answers.items()}
    judged = health.judge(seen, operations.now())
    if output == "json":
        click.echo(json.dumps(health.to_json(judged, seen), indent=2))
    else:
        from kdist.cli import etcd_tables

        etcd_tables.show_health(judged, seen)
    sys.exit(1 if any(f.serious for f in judged.findings) else 0)


@etcd.command()
@INVENTORY
@click.option("--on", "hosts", multiple=True, help="Control plane to take it on; default: every one.")
@click.option(
    "--reason", default="operator", show_default=True, help="Kept with it; retention counts by reason."
)
@click.option("--fetch", type=click.Path(path_type=Path), help="Copy the newest of them into this directory.")
@told
async def snapshot(inventory: Path, hosts: tuple[str, ...], reason: str, fetch: Path | None) -> None:
    """Take a snapshot now and verify it. Fails when any host's fails."""
    site = await Site.load(inventory)
    wanted = list(hosts) or site.control_planes
    answers = await ask_all(site, wanted, "snapshot", "--reason", reason, timeout=operations.LONG)
    taken = [Manifest.from_json(a.value) for a in answers.values() if a.value]
    for one in taken:
        size = f"{one.size >> 10} KiB"
        click.echo(f"{one.host}: {one.name}: revision {one.revision}, {one.keys} keys, {size}, verified")
    if fetch and taken:
        newest = max(taken, key=lambda m: m.revision)
        _fetched(await fetching.fetch(site, newest.host, newest.name, fetch))
    if failed := [f"{host}: {a.error}" for host, a in answers.items() if a.error]:
        raise click.ClickException("no snapshot from " + "\n".join(failed))


@etcd.command("snapshots")
@INVENTORY
@OUTPUT
@told
async def list_snapshots(inventory: Path, output: str) -> None:
    """List the snapshots of every control plane, newest first."""
    answers = await operations.observed(await Site.load(inventory))
    found = [m for a in answers.values() if a.value for m in a.value["snapshots"]["list"]]
    found.sort(key=lambda m: str(m["name"]), reverse=True)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        from kdist.cli import etcd_tables

        etcd_tables.show_snapshots(found)
    for host, answer in answers.items():
        if answer.error:
            click.echo(f"{host}: {answer.error}", err=True)


@etcd.command()
@INVENTORY
@click.argument("name", required=False)
@click.option("--from", "host", help="Control plane to fetch it from; default: one that has it.")
@click.option(
    "--to", type=click.Path(path_type=Path), default="etcd-snapshots", show_default=True, help="Directory."
)
@told
async def fetch(inventory: Path, name: str | None, host: str | None, to: Path) -> None:
    """Copy a snapshot (default: the newest) to this machine and verify it here."""
    site = await Site.load(inventory)
    answers = await ask_all(site, [host] if host else site.control_planes, "status")
    offers = [
        (str(m["name"]), where)
        for where, a in answers.items()
        if a.value
        for m in a.value["snapshots"]["list"]
        if name in (None, m["name"])
    ]
    if not offers:
        errors = "".join(f"\n{where}: {a.error}" for where, a in answers.items() if a.error)
        raise click.ClickException(f"no control plane that answered has {name or 'a snapshot'}{errors}")
    newest, where = max(offers)
    _fetched(await fetching.fetch(site, where, newest, to))


def _fetched(directory: Path) -> None:
    click.echo(f"{directory}: fetched and verified; it holds keys of the cluster, keep it as safe as those")


@etcd.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@told
async def verify(path: Path) -> None:
    """Verify a snapshot on this machine: a directory that was fetched, or a bare snapshot.db.

    With etcdctl on this machine, every key is read.
    """
    if path.is_dir():
        manifest, faults = await asyncio.to_thread(snapshots.verify, path)
        about = f"cluster {manifest.cluster}, revision {manifest.revision} of {manifest.time}, {manifest.keys} keys"
    else:
        about, faults = await asyncio.to_thread(snapshots.verify_database, path)
    if faults:
        raise click.ClickException(f"{path} cannot be used:\n" + "\n".join(faults))
    click.echo(f"{path}: whole; {about}")
