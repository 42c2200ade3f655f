"""``kdist token``: bootstrap tokens, by which hosts join."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
import yaml
from rich.console import Console
from rich.table import Column, Table

from kdist.api import kinds, meta
from kdist.api.errors import ApiError, NotFound
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.join import tokens, trust
from kdist.lifecycle.join.tokens import InvalidToken, Listed

T = TypeVar("T")
_kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    default=Path("/etc/kubernetes/admin.conf"),
    show_default=True,
    help="An administrator's; on the operator's machine the admin.conf beside the inventory.",
)
_output = click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group()
def token() -> None:
    """Make, list and delete bootstrap tokens.

    site.yml makes its own; these are for hosts whose operator may not log in to control planes.
    """


def _ask(kubeconfig: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with Client.from_kubeconfig(kubeconfig, user_agent="kdist-token") as client:
            return await work(client)

    try:
        return asyncio.run(asked())
    except (ApiError, Unreachable, KubeconfigError, InvalidToken) as error:
        raise click.ClickException(error.message if isinstance(error, ApiError) else str(error)) from error


@token.command()
@click.argument("text", metavar="[TOKEN]", required=False)
@click.option(
    "--ttl", default="24h", show_default=True, help="Time to live, such as 24h or 90m; 0: for ever."
)
@click.option("--description", default="", help="Whom it is for.")
@_output
@_kubeconfig
def create(text: str | None, ttl: str, description: str, output: str, kubeconfig: Path) -> None:
    """Make a token and print how a host joins by it."""

    async def work(client: Client) -> tuple[str, bytes]:
        made = text or tokens.generate()
        secret = tokens.secret(made, tokens.lifetime(ttl), datetime.now(UTC), description)
        authority = await _authority(client)
        await client.create(kinds.SECRETS, secret)
        return made, authority

    made, authority = _ask(kubeconfig, work)
    pin = trust.authority_hash(authority)
    if output == "json":
        click.echo(json.dumps({"token": made, "caHash": pin}))
        return
    click.echo(
        f"token    {made}\nCA hash  {pin}\n\nWith the host in an inventory that names the control planes:\n"
        f"ansible-playbook -i INVENTORY site.yml --limit HOST -e kdist_join_token={made} -e kdist_join_ca_hash={pin}"
    )


async def _authority(client: Client) -> bytes:
    try:
        info = await client.get(kinds.CONFIG_MAPS, trust.INFO_NAME, trust.INFO_NAMESPACE)
        cluster = yaml.safe_load(meta.get(info, "data.kubeconfig", ""))["clusters"][0]["cluster"]
        return base64.b64decode(cluster["certificate-authority-data"])
    except (NotFound, LookupError, TypeError, yaml.YAMLError) as error:
        raise click.ClickException(
            "the cluster has no usable ConfigMap kube-public/cluster-info; site.yml makes it (tag join)"
        ) from error


@token.command("list")
@_output
@_kubeconfig
def listing(output: str, kubeconfig: Path) -> None:
    """List the tokens; their secret halves are not shown."""

    async def work(client: Client) -> list[Listed]:
        found = await client.list(kinds.SECRETS, tokens.NAMESPACE, field_selector=f"type={tokens.TYPE}")
        return [tokens.read(secret) for secret in found.items]

    found = _ask(kubeconfig, work)
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in found], default=str))
        return
    table = Table("ID", Column("Expires", no_wrap=True), "Usages", "Description", box=None)
    for one in found:
        table.add_row(one.id, _expiry(one.expires), ",".join(one.usages), one.description)
    Console(highlight=False).print(table if found else "no bootstrap tokens")


def _expiry(ends: datetime | None) -> str:
    if ends is None:
        return "never"
    minutes = int((ends - datetime.now(UTC)).total_seconds()) // 60
    return (
        f"{ends:%Y-%m-%d %H:%M} UTC, in {minutes // 60} h {minutes % 60} min"
        if minutes >= 0
        else "has expired"
    )


@token.command()
@click.argument("ids", metavar="ID", nargs=-1, required=True)
@_kubeconfig
def delete(ids: tuple[str, ...], kubeconfig: Path) -> None:
    """Delete tokens by their id, or by the whole token."""

    async def work(client: Client) -> None:
        for one in ids:
            await client.delete(kinds.SECRETS, tokens.PREFIX + one.partition(".")[0], tokens.NAMESPACE)
            click.echo(f"{one.partition('.')[0]} deleted")

    _ask(kubeconfig, work)
