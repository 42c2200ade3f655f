"""``kdist bundle``: build, verify, load and pin the bundle.

``load`` runs on hosts, which have no terminal libraries: rich is imported only where a person watches a build.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from kdist.config.base import settings_options
from kdist.config.bundle import BundleSettings
from kdist.lifecycle.bundle.process import BundleError

P = ParamSpec("P")
R = TypeVar("R")

ROLES = ("node", "control-plane")
directory_argument = click.argument(
    "directory", type=click.Path(path_type=Path, exists=True, file_okay=False)
)


def _told(command: Callable[P, R]) -> Callable[P, R]:
    """Print a BundleError as one line and exit with 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except BundleError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)

    return run


@click.group()
def bundle() -> None:
    """Build and verify the install bundle: packages, images and wheels, so that hosts need no uplink."""


@bundle.command()
@settings_options(BundleSettings)
@_told
def build(settings: BundleSettings) -> None:
    """Build a bundle; what has not changed comes from the cache."""
    from kdist.lifecycle.bundle.build import build as build_bundle

    began = time.monotonic()
    with _progress() as report:
        manifest = build_bundle(settings, report)
    megabytes = sum(entry.size for entry in manifest.files.values()) / 1e6
    seconds = time.monotonic() - began
    click.echo(
        f"{settings.out}: kdist {manifest.version} for {manifest.suite}, {megabytes:.0f} MB, {seconds:.1f} s"
    )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A reporter of what is being made: a live line on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line: None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("bundle") as status:
        yield lambda line: status.update(f"bundle: {line}")


@bundle.command()
@directory_argument
@click.option("--role", type=click.Choice(ROLES), help="Only the share of such a host must be there.")
@_told
def verify(directory: Path, role: str | None) -> None:
    """Check every file of a bundle against its manifest; name each that is missing, altered or unexpected."""
    from kdist.lifecycle.bundle import manifest

    shares = (
        (manifest.NODE, manifest.CONTROL_PLANE, manifest.OPERATOR)
        if role is None
        else ROLES[: ROLES.index(role) + 1]
    )
    problems = manifest.verify(directory, shares)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise BundleError(f"{directory}: {len(problems)} file(s) are not as built")
    click.echo(f"{directory}: all files are as built")


@bundle.command()
@directory_argument
@click.option(
    "--role", type=click.Choice(ROLES), default="node", show_default=True, help="Whose images to load."
)
@click.option("--check", is_flag=True, help="Only print what would be imported.")
@_told
def load(directory: Path, role: str, check: bool) -> None:
    """Import the images this host lacks into containerd and print their names."""
    from kdist.lifecycle.bundle import load as loading

    for name in loading.missing(directory, role) if check else loading.load(directory, role):
        click.echo(name)


@bundle.command()
@_told
def lock() -> None:
    """Pin the Python dependencies of pyproject.toml anew, for every supported Debian release."""
    from kdist.lifecycle.bundle import wheels

    root = wheels.checkout()
    click.echo(f"{root / wheels.LOCK}: {wheels.lock(root)} packages")
