"""``kdist remove``: take hosts out of a cluster, the ones that are switched off included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table

from kdist.api.errors import ApiError
from kdist.cli.site_options import INVENTORY
from kdist.client.rest import Unreachable
from kdist.lifecycle.operation.api import NoApi, connect
from kdist.lifecycle.operation.lock import Held, LockHeld, NoHostForLock, operator_lock
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import PlaybookFailed, run_playbook
from kdist.lifecycle.operation.site import Site, SiteError
from kdist.lifecycle.remove import plan, steps
from kdist.lifecycle.remove.steps import Observed, Refused
from kdist.lifecycle.upgrade.drain import DrainFailed

console = Console(highlight=False)


@click.command()
@click.argument("hosts", metavar="HOST", nargs=-1, required=True)
@INVENTORY
@click.option("--timeout", default=300, show_default=True, help="Seconds that draining one host may take.")
@click.option("--keep-host", is_flag=True, help="Do not reset the hosts: only the cluster forgets them.")
@click.option("--check", is_flag=True, help="Only say what would happen.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--break-lock", is_flag=True, help="Take the lock of an operator who is known to be gone.")
def remove(
    hosts: tuple[str, ...],
    inventory: Path,
    timeout: int,
    keep_host: bool,
    check: bool,
    output: str,
    yes: bool,
    break_lock: bool,
) -> None:
    """Take hosts out of a cluster: drain, end their etcd membership, forget the node, reset the host.

    A host that is switched off is removed just so. Refused while it would cost etcd its quorum. A removal that was cut
    off is started again. Other workers are not touched; afterwards take the hosts out of the inventory.
    """
    try:
        site = asyncio.run(Site.load(inventory))
        if unknown := [name for name in hosts if name not in site.names]:
            raise click.ClickException(
                f"no host {', '.join(unknown)} in {inventory}; there are {', '.join(site.names)}"
            )
        removal = _Removal(site, hosts, timeout, keep_host, break_lock)
        observed = asyncio.run(removal.look())
        _show(observed, output)
        if check:
            return
        if not yes:
            click.confirm(f"Remove {', '.join(hosts)}?", abort=True)
        asyncio.run(removal.run())
    except (ApiError, HostError, LockHeld, NoApi, NoHostForLock, DrainFailed) as error:
        raise click.ClickException(_told(error)) from error
    except (PlaybookFailed, Refused, SiteError, Unreachable) as error:
        raise click.ClickException(_told(error)) from error
    names = " and ".join(hosts)
    click.echo(f"{names} removed. Take {names} out of {inventory}, or the next site.yml installs it again.")


def _told(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else str(error)


class _Removal:
    """One call of the command."""

    def __init__(
        self, site: Site, hosts: Sequence[str], timeout: int, keep_host: bool, break_lock: bool
    ) -> None:
        self._site, self._hosts = site, hosts
        self._timeout, self._keep, self._break = timeout, keep_host, break_lock
        self._staying = [name for name in site.control_planes if name not in hosts]

    async def look(self) -> Observed:
        """What would happen; nothing is changed."""
        if not self._staying:
            raise Refused("no control plane would be left; `kdist reset` takes a whole cluster away")
        async with connect(self._site, self._staying) as api:
            return await steps.observe(self._site, api.client, self._hosts)

    async def run(self) -> None:
        """Remove the hosts one after the other under the operator's lock."""
        async with operator_lock(
            self._site, f"kdist remove {' '.join(self._hosts)}", break_lock=self._break
        ) as held:
            with _progress() as tell:
                async with connect(self._site, self._staying) as api:
                    observed = await steps.observe(self._site, api.client, self._hosts)
                    for host in observed.leaving:
                        bound = observed.bound[host.name]
                        await steps.remove(self._site, api.client, host, bound, self._timeout, tell)
                        console.print(f"{host.name}: removed from the cluster")
                await self._clean(observed, held, tell)
                await self._settle(observed, held, tell)

    async def _clean(self, observed: Observed, held: Held, tell: Callable[[str, str], None]) -> None:
        reachable = [host.name for host in observed.leaving if host.reachable]
        if self._keep or not reachable:
            return
        tell(", ".join(reachable), "resetting")
        sure = {"reset_confirmed": True}  # who asked for the removal was asked before
        await run_playbook(self._site, "playbooks/reset.yml", held, limit=reachable, extra=sure)
        console.print(f"{', '.join(reachable)}: reset")

    async def _settle(self, observed: Observed, held: Held, tell: Callable[[str, str], None]) -> None:
        """Those control planes that stay learn that there are fewer of them; every agent learns it from the cluster."""
        if not any(host.control_plane for host in observed.leaving):
            return
        tell(", ".join(self._staying), "telling that there are fewer control planes")
        absent = {"preflight_absent": list(self._hosts)}
        # Manifests do not name other control planes: nothing of the control plane restarts.
        tags = ["pki", "join", "addons"]
        await run_playbook(self._site, "site.yml", held, limit=self._staying, extra=absent, tags=tags)
        console.print(f"{', '.join(self._staying)}: up to date")


def _show(observed: Observed, output: str) -> None:
    reports = {host.name: plan.report(host, observed.bound[host.name]) for host in observed.leaving}
    if output == "json":
        rows = [
            {**asdict(host), **asdict(observed.bound[host.name]), "report": reports[host.name]}
            for host in observed.leaving
        ]
        click.echo(json.dumps(rows))
        return
    table = Table("Host", "Part", "Is", "What happens", box=None)
    for host in observed.leaving:
        part = "control plane" if host.control_plane else "worker"
        state = (
            "up" if host.reachable and host.alive else "half up" if host.reachable or host.alive else "down"
        )
        table.add_row(host.name, part, state, "\n".join(reports[host.name]) or "nothing is bound to it")
    console.print(table)


@contextmanager
def _progress() -> Iterator[Callable[[str, str], None]]:
    status = Status("", console=Console(stderr=True))

    def tell(host: str, what: str) -> None:
        status.update(f"{host}: {what}")

    with status:
        yield tell
