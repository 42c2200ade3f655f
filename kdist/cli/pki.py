"""``kdist pki``: what certificates this host has and how long they serve."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import click
from cryptography import x509

from kdist.pki import issue, plan


@click.group()
def pki() -> None:
    """Inspect the certificates of a host."""


def _certificates(root: Path) -> list[tuple[str, x509.Certificate]]:
    directory = root / str(plan.KUBERNETES_DIR).lstrip("/")
    found = []
    for path in sorted([*directory.rglob("*.crt"), *directory.glob("*.conf")]):
        content = path.read_bytes()
        pem = issue.pair_of_kubeconfig(content).certificate if path.suffix == ".conf" else content
        found.append((str(path.relative_to(directory)), x509.load_pem_x509_certificate(pem)))
    return found


@pki.command()
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), help="Root of the host's file system."
)
def expiry(root: Path) -> None:
    """List certificates with the days they have left; exit 1 when one ends within 30 days."""
    now = datetime.datetime.now(datetime.UTC)
    found = _certificates(root)
    if not found:
        raise click.ClickException(f"no certificates under {root}{str(plan.KUBERNETES_DIR).lstrip('/')}")
    width = max(len(name) for name, _ in found)
    urgent = False
    for name, certificate in found:
        left = (certificate.not_valid_after_utc - now).days
        urgent = urgent or left < 30
        click.echo(
            f"{name:{width}}  {left:5d} days  {certificate.not_valid_after_utc:%Y-%m-%d}  "
            f"{certificate.subject.rfc4514_string()}"
        )
    sys.exit(1 if urgent else 0)
