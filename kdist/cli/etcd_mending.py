"""The commands of ``kdist etcd`` that change a cluster: they say what they will do and what is lost, and ask."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from kdist.cli.etcd_options import BREAK_LOCK, YES, told
from kdist.cli.site_options import INVENTORY
from kdist.lifecycle.etcd import health, operations, quorum, snapshots, space
from kdist.lifecycle.etcd.members import Endpoint, Member
from kdist.lifecycle.etcd.operations import Operation, Source
from kdist.lifecycle.etcd.quorum import Refused, Remains
from kdist.lifecycle.etcd.remote import ask, ask_all
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.operation.journal import Entry, State
from kdist.lifecycle.operation.lock import operator_lock
from kdist.lifecycle.operation.site import Site


def _show(entry: Entry) -> None:
    if entry.state is State.RUNNING:
        return
    took = f"{(entry.ended or 0) - (entry.began or 0):.1f} s"
    mark = "done" if entry.state is State.DONE else str(entry.state)
    click.echo(f"  {entry.name}: {entry.does}: {mark} ({took}){': ' + entry.detail if entry.detail else ''}")


@asynccontextmanager
async def _operation(site: Site, command: str, *, break_lock: bool) -> AsyncIterator[Operation]:
    from kdist.cli.following import following

    async with operator_lock(site, command, break_lock=break_lock) as held:
        yield Operation(site, held, following, _show)


def _agree(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody can be asked here: say --yes")
    click.confirm(question, abort=True)


@click.command()
@INVENTORY
@click.option("--lost", default="", help="Control planes that are lost for good, comma-separated.")
@click.option("--check", is_flag=True, help="Only say who would go on, and what would be lost.")
@YES
@BREAK_LOCK
@told
async def recover(inventory: Path, lost: str, check: bool, yes: bool, break_lock: bool) -> None:
    """Bring etcd back when most of its members are lost; workloads keep running meanwhile.

    One survivor goes on alone, the other control planes that answer join it again. Refused while there is a quorum.
    """
    began = time.monotonic()
    site = await Site.load(inventory)
    named = [name.strip() for name in lost.split(",") if name.strip()]
    answers = await operations.observed(site)
    if strange := [
        f"{h}: {a.error}" for h, a in answers.items() if a.reached and a.value is None and h not in named
    ]:
        raise Refused("cannot be asked about etcd, though reached: " + "; ".join(strange))
    remains = {h: None if a.value is None else Remains.from_json(a.value) for h, a in answers.items()}
    choice = quorum.choose(remains, named)
    click.echo(f"{choice.loss}.")
    if choice.gone:
        names = ", ".join(choice.gone)
        click.echo(f"{names}: removed from etcd. When they come back: kdist etcd rejoin")
    if check:
        return
    _agree(f"Let {choice.survivor} go on alone?", yes=yes)
    async with _operation(site, "kdist etcd recover", break_lock=break_lock) as operation:
        result = await operations.recover(operation, choice)
    click.echo(
        f"etcd works again after {time.monotonic() - began:.0f} s. The newest revision that survived is "
        f"{result['revision_before']}; it goes on at {result['revision']}, so that clients read everything anew. "
        f"{choice.survivor} keeps its data as it was found in {result['copy']}."
    )


@click.command()
@INVENTORY
@click.argument("hosts", nargs=-1)
@BREAK_LOCK
@told
async def rejoin(inventory: Path, hosts: tuple[str, ...], break_lock: bool) -> None:
    """Let control planes join again whose membership ended: lost ones that came back after `recover`.

    Their old data is renamed. Default: every one of them.
    """
    site = await Site.load(inventory)
    answers = await operations.observed(site)
    seen = {host: answer.value for host, answer in answers.items()}
    judged = health.judge(seen, operations.now())
    if not judged.quorum:
        raise Refused("etcd has no quorum, so nobody can join: see `kdist etcd status`")
    ended = health.ended(judged.rows, judged.quorum, seen)
    if wrong := [host for host in hosts if host not in ended]:
        raise Refused(f"{', '.join(wrong)}: no control plane with data of a membership that has ended")
    chosen = [host for host in ended if not hosts or host in hosts]
    if not chosen:
        click.echo("every control plane that answers is a member")
        return
    async with _operation(site, "kdist etcd rejoin", break_lock=break_lock) as operation:
        await operations.rejoin(operation, chosen)
    click.echo(f"{', '.join(chosen)}: members again")


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@INVENTORY
@click.option(
    "--replace", is_flag=True, help="Give up the etcd data that control planes have; it is renamed."
)
@click.option(
    "--encryption-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Keys of encryption at rest for a bare snapshot.db.",
)
@click.option("--without-encryption", is_flag=True, help="Nothing in a bare snapshot.db is encrypted.")
@YES
@BREAK_LOCK
@told
async def restore(
    path: Path,
    inventory: Path,
    replace: bool,
    encryption_config: Path | None,
    without_encryption: bool,
    yes: bool,
    break_lock: bool,
) -> None:
    """Make the snapshot at PATH a new cluster on the hosts of the inventory, bare ones or installed ones.

    PATH: a directory that `kdist etcd fetch` made, or a bare snapshot.db of any cluster.
    """
    began = time.monotonic()
    source = await asyncio.to_thread(_source, path, encryption_config, without_encryption)
    site = await Site.load(inventory)
    answers = await operations.observed(site)
    having = await operations.with_data(site, answers)
    operations.unfit_for_restore(answers, having, replace=replace)
    click.echo(operations.loss(source.manifest, answers, operations.now()))
    if source.manifest and source.manifest.cluster != site.spec.settings.cluster_name:
        click.echo(
            f"It is of cluster {source.manifest.cluster}, the inventory is {site.spec.settings.cluster_name}."
        )
    if having:
        _agree("Replace the running history by the snapshot?", yes=yes)
    async with _operation(site, "kdist etcd restore", break_lock=break_lock) as operation:
        result = await operations.restore(operation, source)
    click.echo(
        f"the cluster is restored after {time.monotonic() - began:.0f} s, as of revision {result['revision_before']}; "
        f"it goes on at {result['revision']}, so that clients read everything anew"
    )


def _source(path: Path, encryption: Path | None, without_encryption: bool) -> Source:
    if path.is_dir():
        manifest, faults = snapshots.verify(path)
        if encryption or without_encryption:
            raise SnapshotError(
                "the snapshot has its own keys of encryption at rest: leave these options out"
            )
        kept = path / snapshots.ENCRYPTION if manifest.encrypted else None
        source = Source(path, manifest, kept)
    else:
        if not encryption and not without_encryption:
            raise SnapshotError(
                f"{path} is a bare database: give the keys its Secrets are encrypted with (--encryption-config), or "
                "say --without-encryption. Without the right keys they cannot be read"
            )
        _, faults = snapshots.verify_database(path)
        source = Source(path, None, encryption)
    if faults:
        raise SnapshotError(f"{path} cannot be used, nothing was changed:\n" + "\n".join(faults))
    return source


async def _ordered(site: Site) -> list[str]:
    """Control planes in the order in which their members are defragmented. Raises NotNow."""
    answers = await ask_all(site, site.control_planes, "status")
    for answer in answers.values():
        if answer.value and answer.value["quorum"]:
            members = [Member(**m) for m in answer.value["members"]]
            running = {int(i): Endpoint(**e) for i, e in answer.value["endpoints"].items() if e}
            return [member.name for member in space.order(members, running)]
    raise Refused("etcd has no quorum: see `kdist etcd status`")


@click.command()
@INVENTORY
@BREAK_LOCK
@told
async def defrag(inventory: Path, break_lock: bool) -> None:
    """Give free pages of etcd's files back to the disks: one member at a time, the leader last."""
    site = await Site.load(inventory)
    async with _operation(site, "kdist etcd defrag", break_lock=break_lock) as operation:
        results = await operations.defragment(operation, await _ordered(site))
    saved = sum(done["before"] - done["after"] for done in results)
    click.echo(f"{len(results)} members, {saved / (1 << 20):.1f} MiB given back")


@click.command()
@INVENTORY
@click.option("--mend", is_flag=True, help="Forget old revisions, defragment, and clear the alarms.")
@BREAK_LOCK
@told
async def alarms(inventory: Path, mend: bool, break_lock: bool) -> None:
    """Show raised alarms, what fills the database, and what to do; exit 1 when an alarm is raised."""
    site = await Site.load(inventory)
    if mend:
        async with _operation(site, "kdist etcd alarms --mend", break_lock=break_lock) as operation:
            result = await operations.mend(operation, await _ordered(site))
        click.echo(
            f"no alarm is left; the largest file has {result['size'] >> 20} of {result['quota'] >> 20} MiB"
        )
        return
    answers = await operations.observed(site)
    seen = {host: answer.value for host, answer in answers.items()}
    judged = health.judge(seen, operations.now())
    having = next((host for host, s in seen.items() if s and s["quorum"]), None)
    if having is None:
        raise Refused("etcd has no quorum, so nobody knows its alarms: see `kdist etcd status`")
    from kdist.cli import etcd_tables

    raised = etcd_tables.show_alarms(judged, seen, await ask(site, having, "sizes", timeout=600))
    sys.exit(1 if raised else 0)
