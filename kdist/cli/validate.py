"""``kdist validate``: check an inventory's cluster description without touching a host."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from kdist.cli.site_options import INVENTORY
from kdist.lifecycle import spec
from kdist.lifecycle.certificates import given
from kdist.lifecycle.operation.site import CHECKOUT, ansible


def _inventory(path: Path) -> dict[str, Any]:
    command = [ansible("ansible-inventory"), "--inventory", str(path), "--list", "--export"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{path}: {done.stderr.strip()}")
    listed: dict[str, Any] = json.loads(done.stdout)
    return listed


def _resolved(listed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Variables by host; ``--export`` keeps group variables with their groups, parents first."""
    hostvars: dict[str, dict[str, Any]] = {}

    def visit(group: str, inherited: dict[str, Any]) -> None:
        entry = listed.get(group, {})
        variables = {**inherited, **entry.get("vars", {})}
        for host in entry.get("hosts", []):
            hostvars.setdefault(host, {}).update(variables)
        for child in entry.get("children", []):
            visit(child, variables)

    visit("all", {})
    own = listed.get("_meta", {}).get("hostvars", {})
    return {host: {**variables, **own.get(host, {})} for host, variables in hostvars.items()}


def _members(listed: dict[str, Any], group: str) -> list[str]:
    entry = listed.get(group, {})
    nested = [host for child in entry.get("children", []) for host in _members(listed, child)]
    return list(dict.fromkeys([*entry.get("hosts", []), *nested]))


def _tell_keys(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        for settings in (spec.ClusterSettings, spec.HostSettings):
            click.echo("\n".join(("", "| Key | Default | Meaning |", "|---|---|---|", *spec.rows(settings))))
        context.exit()


@click.command()
@INVENTORY
@click.option(
    "--keys",
    is_flag=True,
    is_eager=True,  # before it is asked whether there is an inventory
    expose_value=False,
    callback=_tell_keys,
    help="Print every key with its default and meaning instead.",
)
def validate(inventory: Path) -> None:
    """Check the kdist_* keys of an inventory; every problem at once, by host and key."""
    listed = _inventory(inventory)
    groups = {name: _members(listed, name) for name in (spec.CONTROL_PLANE_GROUP, spec.NODE_GROUP)}
    cluster, problems = spec.read(_resolved(listed), groups)
    if cluster is not None:
        _, unfit = given.read(cluster.settings, CHECKOUT, datetime.datetime.now(datetime.UTC))
        problems += unfit
    for problem in problems:
        click.echo(str(problem), err=True)
    if problems or cluster is None:
        sys.exit(1)
    planes, total = len(cluster.control_planes), len(cluster.hosts)
    click.echo(
        f"{inventory}: valid; {planes} control plane, {total - planes} workers, API {cluster.settings.api_level}"
    )
