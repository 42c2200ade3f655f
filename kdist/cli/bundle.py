"""``kdist bundle``: build, sign, verify, compare and load the bundle, and pin what goes into it.

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
    from kdist.lifecycle.bundle import signature
    from kdist.lifecycle.bundle.build import build as build_bundle

    _, made = signature.ensure_key(settings.key.expanduser())
    if made:
        click.echo(f"{settings.key}: made; it signs your bundles from now on, keep it", err=True)
    began = time.monotonic()
    with _progress() as report:
        manifest = build_bundle(settings, report)
    megabytes = sum(entry.size for entry in manifest.files.values()) / 1e6
    seconds = time.monotonic() - began
    suites = ", ".join(manifest.hosts)
    click.echo(f"{settings.out}: kdist {manifest.version} for {suites}, {megabytes:.0f} MB, {seconds:.1f} s")


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
@click.option("--suite", help="With --role: the host's Debian release; by default that of this machine.")
@click.option("--key", help="The public key that must have signed: on one line, or a file that holds it.")
@_told
def verify(directory: Path, role: str | None, suite: str | None, key: str | None) -> None:
    """Check a bundle: its signature, every file, and that nothing it needs is missing.

    Each file that is missing, altered or unexpected is named.
    """
    from kdist.lifecycle.bundle import intake, manifest, signature, wheels

    signed = signature.check(directory, _public_key(key) if key else None)
    shares: tuple[str, ...] = (manifest.NODE, manifest.CONTROL_PLANE, manifest.OPERATOR)
    if role is not None:
        shares, suite = ROLES[: ROLES.index(role) + 1], suite or intake.own_suite()
    problems = manifest.verify(directory, signed.manifest, shares, suite)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise BundleError(f"{directory}: {len(problems)} file(s) are not as built")
    click.echo(f"{directory}: all files are as built")
    if role is None:
        from kdist.lifecycle.bundle import closure  # what it reads with is not on hosts

        if gaps := closure.gaps(directory, signed.manifest, wheels.installed_from()):
            raise BundleError(f"{directory} is not closed:\n" + "\n".join(gaps))
        click.echo("closed: whatever its packages, wheels and images need is in it or in the base system")
    told = "as asked for" if key else "not compared with a key you trust (--key)"
    click.echo(f"signed with {signed.key}, {told}")


def _public_key(given: str) -> str:
    from kdist.lifecycle.bundle import signature

    text = Path(given).read_text() if Path(given).is_file() else given
    try:
        return signature.line_of(signature.parse_key(text))
    except ValueError as error:
        raise BundleError(f"--key {given} {error}") from error


output_option = click.option(
    "--output", type=click.Choice(("table", "json")), default="table", show_default=True, help="For whom."
)


@bundle.command()
@directory_argument
@output_option
@_told
def sbom(directory: Path, output: str) -> None:
    """Show what a bundle is made of: packages, wheels and images with licences; json is the CycloneDX document."""
    from rich.console import Console

    from kdist.cli import bundle_view
    from kdist.lifecycle.bundle import sbom as materials

    lines = materials.lines(directory)
    if output == "json":
        click.echo((directory / materials.FILE).read_text(), nl=False)
    else:
        bundle_view.materials(lines, Console(highlight=False))


@bundle.command()
@click.argument("old", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("new", type=click.Path(path_type=Path, exists=True, file_okay=False))
@output_option
@_told
def diff(old: Path, new: Path, output: str) -> None:
    """Show what differs from bundle OLD to bundle NEW, and what must travel from the one to the other."""
    import json

    from rich.console import Console

    from kdist.cli import bundle_view
    from kdist.lifecycle.bundle import diff as comparison
    from kdist.lifecycle.bundle import signature

    found = comparison.compare(signature.check(old).manifest, signature.check(new).manifest)
    if output == "json":
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        bundle_view.difference(found, Console(highlight=False))


@bundle.command()
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default=BundleSettings.__dataclass_fields__["key"].default,
    show_default=True,
    help="File of the private key.",
)
@_told
def keygen(key: Path) -> None:
    """Make the key that signs bundles, unless it is there, and print its public part for the cluster file."""
    from kdist.lifecycle.bundle import signature

    private, made = signature.ensure_key(key.expanduser())
    click.echo(f"{key}: {'made' if made else 'is there already'}; whoever has it can sign bundles", err=True)
    click.echo(f"kdist_bundle_key: {signature.line_of(private.public_key())}")


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
    click.echo(f"{root / wheels.LOCK}, {wheels.OPERATOR_LOCK}: {wheels.lock(root)} packages")
