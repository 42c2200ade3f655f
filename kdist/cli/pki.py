"""``kdist pki``: what certificates there are and until when, renewing them, exchanging their authorities."""

from __future__ import annotations

import asyncio
import datetime
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from kdist.cli.site_options import INVENTORY
from kdist.pki import survey

if TYPE_CHECKING:
    from rich.table import Table

    from kdist.lifecycle.operation.journal import Entry, Journal
    from kdist.lifecycle.operation.site import Site

P = ParamSpec("P")
_root = click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), help="Root of the host's file system."
)
_output = click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True
)
_days = click.option(
    "--days",
    type=int,
    help="Warn of what ends within so many days; default: 30, or an eighth of its life for short-lived ones.",
)
_break_lock = click.option("--break-lock", is_flag=True, help="Take the lock of an operator who is gone.")


@click.group()
def pki() -> None:
    """See, renew and exchange the certificates of a cluster."""


# ----- on a host


@pki.command()
@_root
@_output
@_days
def expiry(root: Path, output: str, days: int | None) -> None:
    """List the certificates of this host; exit 1 when one is near its end."""
    found, unreadable = survey.look(root)
    if not found and not unreadable:
        raise click.ClickException(f"no certificates under {root}")
    _show(
        {"this host": [c.to_json() for c in found]},
        [f"{u.path}: {u.reason}" for u in unreadable],
        output,
        days,
    )


@pki.command(hidden=True)
@_root
def states(root: Path) -> None:
    """Where the exchange of every authority is, as JSON; for the operator's machine."""
    from kdist.pki.files import HostFiles
    from kdist.pki.rotation import NAMES, Exchange

    try:
        told = {name: Exchange(HostFiles(root), name).state().value for name in NAMES}
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(told))


# ----- from the operator's machine


def _told(run: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Errors that an operator can mend as one message."""

    @wraps(run)
    def command(*arguments: P.args, **options: P.kwargs) -> None:
        from kdist.lifecycle.certificates.exchange import NoKeeper, Refused
        from kdist.lifecycle.operation.journal import JournalError
        from kdist.lifecycle.operation.lock import LockHeld, NoHostForLock
        from kdist.lifecycle.operation.remote import HostError
        from kdist.lifecycle.operation.runner import PlaybookFailed
        from kdist.lifecycle.operation.site import SiteError

        try:
            asyncio.run(run(*arguments, **options))
        except PlaybookFailed as error:
            raise click.ClickException(
                f"{error}\nGo on with the same command when that is mended."
            ) from error
        except (SiteError, HostError, LockHeld, NoHostForLock, JournalError, NoKeeper, Refused) as error:
            raise click.ClickException(str(error)) from error

    return command


@pki.command()
@INVENTORY
@_output
@_days
@_told
async def report(inventory: Path, output: str, days: int | None) -> None:
    """List the certificates of every host; exit 1 when one is near its end or a host does not answer."""
    from kdist.lifecycle.certificates.exchange import KDIST
    from kdist.lifecycle.operation.remote import HostError
    from kdist.lifecycle.operation.site import Site

    site = await Site.load(inventory)
    # The exit status of `expiry` tells what is near; it is judged here again, for all hosts alike.
    answers = await site.run_everywhere(site.names, f"{KDIST} pki expiry --output json || [ $? = 1 ]")
    hosts: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for host, answer in answers.items():
        if isinstance(answer, HostError):
            problems.append(str(answer))
            continue
        if not answer.strip():
            problems.append(f"{host}: has no certificates: run site.yml")
            continue
        told = json.loads(answer)
        hosts[host] = told["certificates"]
        problems += [f"{host}: {problem}" for problem in told["problems"]]
    _show(hosts, problems, output, days)


@pki.command()
@INVENTORY
@_break_lock
@_told
async def renew(inventory: Path, break_lock: bool) -> None:
    """Issue every certificate anew, without downtime. An interrupted renewal goes on where it was."""
    from kdist.lifecycle.certificates import exchange
    from kdist.lifecycle.operation.site import Site

    site = await Site.load(inventory)
    journal = exchange.unfinished(site, "renew") or exchange.renewal()
    await _operate(site, journal, "kdist pki renew", break_lock)
    click.echo("every certificate was issued anew; see them with: kdist pki report")


@pki.command()
@INVENTORY
@click.option(
    "--authority",
    "authorities",
    multiple=True,
    help="ca, etcd-ca, front-proxy-ca, or service-account for the key of tokens; default: the three authorities.",
)
@click.option(
    "--phase",
    type=click.Choice(["trust", "issue", "drop"]),
    help="Only this phase; default: all that are left.",
)
@click.option(
    "--token-wait",
    default=24.0,
    show_default=True,
    help="Hours that an old token key is believed after the new one has begun to sign.",
)
@_break_lock
@_told
async def rotate(
    inventory: Path, authorities: tuple[str, ...], phase: str | None, token_wait: float, break_lock: bool
) -> None:
    """Exchange authorities without downtime: trust the new, issue by the new, drop the old.

    Old and new are trusted in between. Each phase ends when every host uses it. An interrupted exchange goes on
    with the same command.
    """
    from kdist.lifecycle.certificates import exchange
    from kdist.lifecycle.operation.site import Site
    from kdist.pki.rotation import TOKENS, Phase

    if wrong := exchange.unknown(authorities):
        raise click.BadParameter(f"no authority {', '.join(wrong)}", param_hint="--authority")
    site = await Site.load(inventory)
    chosen = list(authorities or exchange.CERTIFICATE_AUTHORITIES)
    journal = exchange.unfinished(site, "rotate")
    if (
        journal is not None
        and (authorities or phase)
        and sorted(journal.about["authorities"]) != sorted(chosen)
    ):
        raise exchange.Refused(
            f"an exchange of {', '.join(journal.about['authorities'])} is unfinished: go on with it first, "
            "by `kdist pki rotate` without --authority"
        )
    if journal is None or phase:
        phases = [Phase(phase)] if phase else exchange.phases_left(chosen, await exchange.states(site))
        journal = exchange.begin(chosen, phases)
    await _operate(site, journal, "kdist pki rotate", break_lock, token_wait=int(token_wait * 3600))
    done = journal.entries[-1].name
    if TOKENS in journal.about["authorities"] and done == "issue":
        click.echo(
            f"new tokens are signed by the new key; in {token_wait:g} hours forget the old one: "
            "kdist pki rotate --authority service-account"
        )


async def _operate(
    site: Site, journal: Journal, command: str, break_lock: bool, *, token_wait: int = 0
) -> None:
    from kdist.cli.following import following
    from kdist.lifecycle.certificates.exchange import Operation
    from kdist.lifecycle.operation.lock import operator_lock

    async with operator_lock(site, command, break_lock=break_lock) as held:
        with following(journal.operation, len(site.names)) as on_event:
            operation = Operation(site, held, _step, on_event)
            if journal.operation == "renew":
                await operation.renew(journal)
            else:
                await operation.exchange(journal, token_wait=token_wait)


def _step(entry: Entry) -> None:
    if entry.began and entry.ended:
        click.echo(f"{entry.name}: {entry.state.value} in {entry.ended - entry.began:.0f} s: {entry.does}")


# ----- output


def _show(
    hosts: Mapping[str, Iterable[Mapping[str, Any]]], problems: list[str], output: str, days: int | None
) -> None:
    """Print, and exit 1 when something is near its end or wrong."""
    now = time.time()
    listed = [(host, survey.Certificate(**told)) for host, several in hosts.items() for told in several]
    near = {id(c) for c in survey.near((c for _, c in listed), now, days)}
    if output == "json":
        rows = [c.to_json() | {"host": h, "days": c.days(now), "near": id(c) in near} for h, c in listed]
        if list(hosts) == ["this host"]:
            rows = [c.to_json() for _, c in listed]
        click.echo(json.dumps({"certificates": rows, "problems": problems}))
    else:
        from rich.console import Console

        Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(_table(listed, near, now))
        for problem in problems:
            click.echo(problem, err=True)
    sys.exit(1 if near or problems else 0)


def _table(listed: Iterable[tuple[str, survey.Certificate]], near: set[int], now: float) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for title in ("HOST", "CERTIFICATE", "OWNER", "ISSUER", "EXPIRES"):
        table.add_column(title)
    table.add_column("DAYS LEFT", justify="right")
    for host, one in sorted(listed, key=lambda row: (row[0], row[1].path)):
        ends = datetime.datetime.fromtimestamp(one.not_after, datetime.UTC)
        issuer = f"{one.issuer} (previous)" if one.previous else one.issuer
        style = "red" if id(one) in near else ("yellow" if one.previous else "")
        cells = (host, one.path, one.subject, issuer, f"{ends:%Y-%m-%d %H:%M}", str(one.days(now)))
        table.add_row(*cells, style=style)
    return table
