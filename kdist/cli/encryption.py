"""``kdist encryption``: the keys of encryption at rest, and writing anew what they should encrypt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import click

from kdist.api.errors import ApiError
from kdist.cli.site_options import INVENTORY
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle import encryptionconfig
from kdist.lifecycle import rewrite as rewriting
from kdist.lifecycle.rewrite import Tally, UnknownResource
from kdist.pki.disk import write

CONFIGURATION = Path("/etc/kubernetes/pki/encryption.yaml")
_file = click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=CONFIGURATION,
    show_default=True,
    help="The EncryptionConfiguration.",
)


@click.group()
def encryption() -> None:
    """Exchange the keys of encryption at rest, and rewrite what is stored.

    `rotate` exchanges a key from the operator's machine. By hand, on the control plane that keeps the authorities:
    add-key, promote-key, rewrite, remove-keys, and site.yml after each change of the file.
    """


def _change(path: Path, change: Callable[[str], str], told: str) -> None:
    try:
        write(path, change(path.read_text()).encode(), 0o600)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {error}") from error
    click.echo(f"{path}: {told}")


@encryption.command("add-key")
@_file
def add_key(file: Path) -> None:
    """Add a key that is read with, and not yet written with."""
    _change(
        file, encryptionconfig.add_key, "a new key is there. Bring it to every API server, then: promote-key"
    )


@encryption.command("promote-key")
@_file
def promote_key(file: Path) -> None:
    """Write with the newest key from now on."""
    _change(
        file,
        encryptionconfig.promote_key,
        "the newest key writes. Bring it to every API server, then: rewrite",
    )


@encryption.command("remove-keys")
@_file
def remove_keys(file: Path) -> None:
    """Forget all keys but the one that writes; only after a rewrite."""
    _change(file, encryptionconfig.remove_keys, "only the key that writes is left")


@encryption.command(hidden=True)
@_file
def stage(file: Path) -> None:
    """Where an exchange of keys is, as JSON; for the operator's machine."""
    try:
        click.echo(json.dumps(encryptionconfig.stage(file.read_text())))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file}: {error}") from error


@encryption.command()
@INVENTORY
@click.option(
    "--resources", help="Comma-separated: what to rewrite; default: kdist_encrypted_resources of the cluster."
)
@click.option("--break-lock", is_flag=True, help="Take the lock of an operator who is gone.")
def rotate(inventory: Path, resources: str | None, break_lock: bool) -> None:
    """Exchange the key of a running cluster, in four steps without downtime; goes on where it was interrupted."""
    from kdist.lifecycle import keyrotation
    from kdist.lifecycle.operation.journal import JournalError
    from kdist.lifecycle.operation.lock import LockHeld, NoHostForLock
    from kdist.lifecycle.operation.remote import HostError
    from kdist.lifecycle.operation.runner import PlaybookFailed
    from kdist.lifecycle.operation.site import SiteError

    try:
        asyncio.run(_rotate(inventory, resources, break_lock))
    except (PlaybookFailed, HostError) as error:
        raise click.ClickException(f"{error}\nGo on with the same command when that is mended.") from error
    except (SiteError, LockHeld, NoHostForLock, JournalError, keyrotation.Refused) as error:
        raise click.ClickException(str(error)) from error
    click.echo("the key was exchanged; keep a copy of encryption.yaml beside every etcd snapshot")


async def _rotate(inventory: Path, resources: str | None, break_lock: bool) -> None:
    from kdist.cli.following import following
    from kdist.lifecycle import keyrotation
    from kdist.lifecycle.operation.journal import Entry
    from kdist.lifecycle.operation.lock import operator_lock
    from kdist.lifecycle.operation.site import Site

    site = await Site.load(inventory)
    journal = keyrotation.path(site).load()
    if journal is None or not journal.open:
        named = tuple(n.strip() for n in resources.split(",") if n.strip()) if resources else None
        journal = keyrotation.begin(
            named or site.spec.settings.encrypted_resources, await keyrotation.stage(site)
        )

    def tell(entry: Entry) -> None:
        if entry.began and entry.ended:
            took = f"{entry.state.value} in {entry.ended - entry.began:.0f} s"
            click.echo(f"{entry.name}: {took}: {entry.detail or entry.does}")

    async with operator_lock(site, "kdist encryption rotate", break_lock=break_lock) as held:
        with following("encryption", len(site.control_planes)) as on_event:
            await keyrotation.run(site, held, journal, tell, on_event)


@encryption.command()
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    default=Path("/etc/kubernetes/admin.conf"),
    show_default=True,
)
@click.option(
    "--resources",
    default="secrets",
    show_default=True,
    help="Comma-separated: secrets, deployments.apps, widgets.example.com ...",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    default=Path("kdist-rewrite.json"),
    show_default=True,
    help="Where an interrupted run finds how far it was; gone when everything is done.",
)
def rewrite(kubeconfig: Path, resources: str, journal: Path) -> None:
    """Write every object anew, with today's key. Can be interrupted and started again."""
    names = [name.strip() for name in resources.split(",") if name.strip()]
    try:
        tallies = asyncio.run(_rewrite(kubeconfig, names, journal))
    except (ApiError, UnknownResource, Unreachable, KubeconfigError, OSError, ValueError) as error:
        told = error.message if isinstance(error, ApiError) else str(error)
        raise click.ClickException(f"{told}\nStart it again to go on.") from error
    failed = [f"{name} {key}" for name, tally in tallies.items() for key in tally.failed]
    if failed:
        raise click.ClickException("not rewritten: " + "; ".join(failed))
    click.echo("done" if tallies else "nothing was left to do")


async def _rewrite(kubeconfig: Path, names: list[str], journal: Path) -> dict[str, Tally]:
    async with Client.from_kubeconfig(kubeconfig, user_agent="kdist-encryption") as client:
        return await rewriting.rewrite(client, names, journal, _tell)


def _tell(name: str, tally: Tally) -> None:
    parts = f"{tally.written} written, {tally.current} already as they should be"
    rest = f", {tally.gone} gone meanwhile" if tally.gone else ""
    click.echo(f"{name}: {tally.seen} objects: {parts}{rest}")
