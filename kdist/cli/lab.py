"""``kdist lab``: throw-away hosts on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from kdist.config.base import settings_options
from kdist.config.lab import DEFAULT_NAME, LAB_DIR, LabSettings
from kdist.lab import hosts, labs
from kdist.lab import ssh as lab_ssh
from kdist.lab.plan import Host, Lab
from kdist.lab.process import LabError

P = ParamSpec("P")
R = TypeVar("R")

console = Console(stderr=True, highlight=False)


def _told(command: Callable[P, R]) -> Callable[P, R]:
    """Print a LabError as one line and exit with 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except LabError as error:
            console.print(f"[red]error:[/red] {error}", markup=True, soft_wrap=True)
            sys.exit(1)

    return run


def _of_lab(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which lab is meant."""
    name = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
    directory = click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        default=LAB_DIR,
        show_default=True,
        help="Where labs live.",
    )
    return name(directory(_told(command)))


@click.group()
def lab() -> None:
    """Make throw-away hosts on this machine: systemd, sshd and a network of their own, no uplink."""


@lab.command()
@settings_options(LabSettings)
@_told
def up(settings: LabSettings) -> None:
    """Bring a lab up, or finish bringing it up, and write its Ansible inventory."""
    began = time.monotonic()
    made = labs.up(settings, lambda line: console.print(line, soft_wrap=True))
    console.print(
        f"lab {made.name} is up in {time.monotonic() - began:.1f} s; inventory {made.inventory}",
        soft_wrap=True,
    )


@lab.command()
@click.option("--purge", is_flag=True, help="Remove the base images and the key too.")
@_of_lab
def down(directory: Path, name: str, purge: bool) -> None:
    """Remove a lab: hosts, disks, network, inventory. Base images stay for the next one."""
    found = labs.down(directory, name, purge=purge)
    console.print(f"lab {name} is gone" if found else f"there is no lab {name}")


@lab.command()
@_of_lab
def status(directory: Path, name: str) -> None:
    """Show the hosts of a lab."""
    table = Table(box=None)
    for column in ("HOST", "ADDRESS", "ROLE", "STATE", "CABLE", "PROCESSES", "MEMORY"):
        table.add_column(column)
    for one in labs.status(labs.load(directory, name)):
        table.add_row(
            one.host.name,
            one.host.address,
            "control plane" if one.host.control_plane else "worker",
            one.state,
            "plugged" if one.plugged else "unplugged",
            str(one.processes),
            "" if one.memory is None else f"{one.memory >> 20} MiB",
        )
    Console(highlight=False).print(table)


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_of_lab
def ssh(directory: Path, name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST as root, or a login shell. Options of kdist come before HOST."""
    labs.check_machine()
    found = labs.load(directory, name)
    argv = lab_ssh.command(found, found.host(host), command)
    os.execvp(argv[0], argv)


def _host_command(name: str, act: Callable[[Lab, Host], None], doc: str, done: str) -> None:
    """Add a command that does one thing to one host."""

    @click.argument("host")
    @_of_lab
    def command(directory: Path, name: str, host: str) -> None:
        labs.check_machine()
        found = labs.load(directory, name)
        act(found, found.host(host))
        console.print(f"{host} {done}")

    command.__doc__ = doc
    lab.command(name, help=doc)(command)


def _start(found: Lab, host: Host) -> None:
    labs.start(found, host, lambda line: None)


_host_command("start", _start, "Switch a host on: same disk, a fresh boot.", "is on")
_host_command("poweroff", hosts.power_off, "Shut a host down in order.", "is off")
_host_command("crash", hosts.crash, "Cut a host's power.", "is off")
_host_command(
    "cut",
    lambda found, host: hosts.set_cable(found, host, plugged=False),
    "Pull a host's network cable.",
    "is unplugged",
)
_host_command(
    "heal",
    lambda found, host: hosts.set_cable(found, host, plugged=True),
    "Plug a host's network cable in.",
    "is plugged in",
)
