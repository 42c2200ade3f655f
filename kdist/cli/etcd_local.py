"""``kdist etcd local``: the same care, on one control plane, without the operator's machine. Everything is JSON.

The timer and ``kdist etcd`` call these; nothing that is not on every host may be imported here. What can cost the
cluster its quorum checks that by itself, whoever calls it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from kdist.lifecycle.etcd import observing, recovery, restoring, snapshots, space, staticpod, taking
from kdist.lifecycle.etcd.bolt import BoltError
from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError
from kdist.lifecycle.etcd.quorum import Refused
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.space import NotNow
from kdist.lifecycle.etcd.staticpod import Places, StaticPodError
from kdist.lifecycle.etcd.wal import WalError

P = ParamSpec("P")
EXPECTED = (SnapshotError, EtcdctlError, StaticPodError, Refused, NotNow, BoltError, WalError, OSError)


def told(command: Callable[P, Any]) -> Callable[P, None]:
    """Print what a command returns as JSON; an error goes to standard error, exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            click.echo(json.dumps(command(*args, **kwargs)))
        except EXPECTED as error:
            click.echo(str(error), err=True)
            sys.exit(1)

    return run


def _etcd() -> Etcdctl:
    return Etcdctl([observing.settings_or_default().endpoint])


@click.group()
def local() -> None:
    """Care for etcd on this control plane; answers in JSON."""


@local.command()
@told
def status() -> Any:
    """Show what this host knows of etcd."""
    return observing.observe(observing.settings_or_default(), _etcd())


@local.command()
@click.option(
    "--reason", default="operator", show_default=True, help="Kept with it; retention counts by reason."
)
@told
def snapshot(reason: str) -> Any:
    """Take and verify a snapshot of this host's member."""
    return taking.take(taking.Settings.load(), _etcd(), reason).to_json()


@local.command()
@click.argument("name", required=False)
@told
def verify(name: str | None) -> Any:
    """Verify snapshots of this host, one or all of them."""
    directory = observing.settings_or_default().directory
    found = [name] if name else snapshots.names(directory)
    return {one: snapshots.verify(directory / one)[1] for one in found}


@local.command()
@click.argument("name")
@told
def show(name: str) -> Any:
    """Show the manifest of one snapshot, and where it lies."""
    path = observing.settings_or_default().directory / name
    return {"path": str(path), "manifest": snapshots.read(path).to_json()}


@local.command()
@told
def defrag() -> Any:
    """Give the free pages of this host's member back; refused while another member does not run."""
    return space.defragment(_etcd(), observing.settings_or_default().host)


@local.command()
@click.option("--revision", type=int, default=0, help="Default: the newest.")
@told
def compact(revision: int) -> Any:
    """Forget old revisions."""
    return space.compact(_etcd(), revision)


@local.command()
@told
def disarm() -> Any:
    """Clear the alarms, when there is room again."""
    return space.disarm(_etcd(), observing.quota())


@local.command()
@told
def sizes() -> Any:
    """Tell objects and bytes by resource, those with most bytes first."""
    return space.resources(_etcd().sizes())


@local.command()
@told
def stop() -> Any:
    """Stop etcd on this host; `start` or site.yml bring it back."""
    return {"stopped": staticpod.stop(Places())}


@local.command()
@told
def start() -> Any:
    """Start what `stop` stopped."""
    staticpod.start(Places())
    return {"started": True}


@local.command("set-aside")
@told
def set_aside() -> Any:
    """Stop etcd and rename its data, so that this host joins anew with the next site.yml."""
    places = Places()
    staticpod.stop(places)
    return {"aside": staticpod.set_aside(places)}


@local.command("stop-control-plane")
@told
def stop_control_plane() -> Any:
    """Stop all that uses etcd and rename its data: the first half of a restore."""
    return restoring.stop_control_plane(Places())


@local.command()
@told
def recover() -> Any:
    """Go on alone after the quorum was lost; the other members are removed. Refused while there is a quorum."""
    return recovery.recover(Places(), _etcd())


_directory = click.argument("snapshot_directory", type=click.Path(exists=True, path_type=Path))


@local.command("restore-secrets")
@_directory
@told
def restore_secrets(snapshot_directory: Path) -> Any:
    """Put a snapshot's keys of encryption at rest in place, and its PKI where this host has none."""
    return restoring.restore_secrets(snapshot_directory)


@local.command()
@_directory
@click.option("--name", required=True, help="Name of this host.")
@click.option("--address", required=True, help="Address of this host.")
@click.option("--token", required=True, help="Token of the new etcd cluster.")
@told
def restore(snapshot_directory: Path, name: str, address: str, token: str) -> Any:
    """Make a snapshot the data of this host, the only member of a new etcd cluster."""
    return restoring.restore(Places(), snapshot_directory, name=name, address=address, token=token)
