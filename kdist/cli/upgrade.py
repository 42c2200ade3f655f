"""``kdist upgrade``: move a running cluster to another version, host by host, and back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from rich.console import Console
from rich.markup import escape

from kdist.cli.site_options import INVENTORY
from kdist.cli.upgrade_board import Board, table
from kdist.lifecycle.operation.api import Api, NoApi, connect
from kdist.lifecycle.operation.journal import ClusterCopy, Journal, JournalError, Recorder, State
from kdist.lifecycle.operation.lock import (
    Held,
    LockHeld,
    NoHostForLock,
    holders,
    operator_lock,
    shown_as_lease,
)
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site, SiteError
from kdist.lifecycle.upgrade import start
from kdist.lifecycle.upgrade.apply import Options, Paused, Upgrade, UpgradeFailed, pause_file
from kdist.lifecycle.upgrade.start import Prepared, Refused

P = ParamSpec("P")
console = Console(highlight=False)
EXPECTED = (SiteError, LockHeld, NoHostForLock, HostError, JournalError, NoApi, UpgradeFailed, ValueError)

_bundle = click.option(
    "--bundle", type=click.Path(path_type=Path), help="Bundle of the new version; default: kdist_bundle."
)
_max_unavailable = click.option(
    "--max-unavailable",
    default="1",
    show_default=True,
    help="Workers that may be away at once: a number or a share such as 25%.",
)
_drain_timeout = click.option(
    "--drain-timeout", default=300.0, show_default=True, help="Seconds a node may take to become empty."
)
_gate_timeout = click.option(
    "--gate-timeout",
    default=300.0,
    show_default=True,
    help="Seconds a host may take to be healthy; then it is taken back.",
)
_break_lock = click.option(
    "--break-lock", is_flag=True, help="Take the lock of an operator who is known to be gone."
)
_output = click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


def _told(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a command; an expected error becomes one message, exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            asyncio.run(command(*args, **kwargs))
        except Refused as error:
            raise click.ClickException(f"Nothing was changed. To mend first:\n{error}") from error
        except Paused as error:
            click.echo("paused; go on with: kdist upgrade resume")
            raise SystemExit(0) from error
        except EXPECTED as error:
            raise click.ClickException(str(error)) from error

    return run


@click.group()
def upgrade() -> None:
    """Move a cluster to another version, one host after the other, and back."""


@asynccontextmanager
async def _api(site: Site) -> AsyncIterator[Api | None]:
    """The API, or None when there is no way to it: looking goes on without."""
    try:
        async with connect(site) as api:
            yield api
    except NoApi:
        yield None


@upgrade.command()
@INVENTORY
@_bundle
@_max_unavailable
@_output
@_told
async def plan(inventory: Path, bundle: Path | None, max_unavailable: str, output: str) -> None:
    """Show the steps that apply would do, and what stands in the way; exit 1 when something does."""
    site = await Site.load(inventory)
    async with _api(site) as api:
        prepared = await start.upgrade(site, api, start.bundle_of(site, bundle), max_unavailable)
    _show(prepared, output)
    sys.exit(1 if prepared.reasons else 0)


def _show(prepared: Prepared, output: str) -> None:
    if output == "json":
        steps = [{"name": s.name, "host": s.host, "does": s.text} for s in prepared.plan.steps]
        told = {"steps": steps, "waves": prepared.plan.waves, "reasons": prepared.reasons}
        click.echo(json.dumps(told | {"to": prepared.about.get("to")}, indent=2))
        return
    for number, step in enumerate(prepared.plan.steps, 1):
        console.print(f"{number:3}  {step.name:24} {escape(step.text)}", soft_wrap=True)
    for reason in prepared.reasons:
        console.print(f"[red]in the way:[/red] {escape(reason)}", soft_wrap=True)


@upgrade.command()
@INVENTORY
@_bundle
@_max_unavailable
@_drain_timeout
@_gate_timeout
@_break_lock
@_told
async def apply(
    inventory: Path,
    bundle: Path | None,
    max_unavailable: str,
    drain_timeout: float,
    gate_timeout: float,
    break_lock: bool,
) -> None:
    """Upgrade: a snapshot, control planes one at a time, workers within their budget, add-ons."""
    options = Options(drain_timeout, gate_timeout, max_unavailable)

    async def begin(site: Site, api: Api | None) -> Journal:
        last = await start.journal(site, api)
        if last and last.open:
            raise Refused([f"{_headline(last)}: `kdist upgrade resume` or `kdist upgrade rollback` first"])
        return (await start.upgrade(site, api, start.bundle_of(site, bundle), max_unavailable)).journal()

    await _work(inventory, "kdist upgrade apply", options, begin, break_lock)


@upgrade.command()
@INVENTORY
@_drain_timeout
@_gate_timeout
@_break_lock
@_told
async def resume(inventory: Path, drain_timeout: float, gate_timeout: float, break_lock: bool) -> None:
    """Go on with an upgrade (or a rollback) that was paused, has failed or was killed."""

    async def begin(site: Site, api: Api | None) -> Journal:
        last = await start.journal(site, api)
        if last is None or not last.open:
            raise Refused(["there is nothing to go on with" if last is None else f"{_headline(last)}"])
        return last

    await _work(
        inventory,
        "kdist upgrade resume",
        Options(drain_timeout, gate_timeout),
        begin,
        break_lock,
        resuming=True,
    )


@upgrade.command()
@INVENTORY
@_max_unavailable
@_drain_timeout
@_gate_timeout
@_break_lock
@_told
async def rollback(
    inventory: Path, max_unavailable: str, drain_timeout: float, gate_timeout: float, break_lock: bool
) -> None:
    """Take every host back to the version before the last upgrade, which lies on its disk still."""
    options = Options(drain_timeout, gate_timeout, max_unavailable)

    async def begin(site: Site, api: Api | None) -> Journal:
        last = await start.journal(site, api)
        return (await start.rollback(site, api, last, max_unavailable)).journal()

    await _work(inventory, "kdist upgrade rollback", options, begin, break_lock)


async def _work(
    inventory: Path,
    command: str,
    options: Options,
    begin: Callable[[Site, Api | None], Coroutine[Any, Any, Journal]],
    break_lock: bool,
    *,
    resuming: bool = False,
) -> None:
    site = await Site.load(inventory)
    async with operator_lock(site, command, break_lock=break_lock) as held, _api(site) as api:
        journal = await begin(site, api)
        if api is None:
            raise Refused(["no API server can be reached"])
        async with shown_as_lease(api.client, held, break_lock=break_lock):
            pause_file(site).unlink(missing_ok=True)
            copy = ClusterCopy(api.client, start.OPERATION)
            await copy.set({"pause": None})
            await _run(site, api, held, journal, copy, options)
    click.echo(_headline(journal))


async def _run(
    site: Site, api: Api, held: Held, journal: Journal, copy: ClusterCopy, options: Options
) -> None:
    board = Board(journal)
    recorder = Recorder(start.journal_file(site), journal, copy, board.tell)
    with board.shown():
        await Upgrade(site, api, held, recorder, options, board.note).run()


@upgrade.command()
@INVENTORY
@_told
async def pause(inventory: Path) -> None:
    """Stop after the host (or step of the cluster) that is under way; resume goes on."""
    site = await Site.load(inventory)
    pause_file(site).parent.mkdir(parents=True, exist_ok=True)
    pause_file(site).touch()
    async with _api(site) as api:
        if api is not None:
            await ClusterCopy(api.client, start.OPERATION).set({"pause": "true"})
    click.echo("asked: the upgrade stops once the host under way is back in service")


@upgrade.command()
@INVENTORY
@_output
@_told
async def status(inventory: Path, output: str) -> None:
    """Show the last upgrade step by step, and who holds the operator's lock."""
    site = await Site.load(inventory)
    async with _api(site) as api:
        last, locks = await asyncio.gather(start.journal(site, api), holders(site))
    held = next((found for found in locks.values() if found), None)
    gone = held is not None and held[0].is_gone()
    lock = held[0].told(held[1], gone=gone) if held else None
    if output == "json":
        click.echo(json.dumps({"journal": last.to_json() if last else None, "lock": lock}, indent=2))
        return
    if last is None:
        click.echo("no upgrade yet")
    else:
        console.print(table(last.entries, title=escape(_headline(last))))
        if last.state is State.RUNNING and (lock is None or gone):
            console.print("[yellow]its operator is gone: kdist upgrade resume[/yellow]")
    click.echo(f"lock: {lock or 'free'}")


def _headline(journal: Journal) -> str:
    about = journal.about
    done = sum(entry.state is State.DONE for entry in journal.entries)
    to = about["to"]
    detail = f": {journal.detail}" if journal.detail else ""
    return (
        f"{about['direction']} to kdist {to['version']}, API {to['api_level']}: {journal.state}, "
        f"{done} of {len(journal.entries)} steps done{detail}"
    )
