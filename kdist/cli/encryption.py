"""``kdist encryption``: the keys of encryption at rest, and writing anew what they should encrypt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from kdist.api.errors import ApiError
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

    To exchange a key: add-key, promote-key, rewrite, remove-keys. After each change of the file run site.yml, so that
    every API server has it; servers load it by themselves.
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
