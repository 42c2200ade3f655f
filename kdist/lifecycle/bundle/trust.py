"""Which key may have signed the bundle of a cluster.

``kdist_bundle_key`` of the cluster file, when it is given. Otherwise the key of the first bundle that was installed
from this inventory, which is recorded beside it, as ssh records the key of a host: most clusters are installed by
whoever built the bundle, and a key that one must copy out of the bundle to get on proves nothing, whereas a bundle
that comes from somebody else later is told. Where bundles pass through other hands, give the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.lifecycle.bundle import signature
from kdist.lifecycle.bundle.process import BundleError

# An extension that Ansible does not take for an inventory.
RECORD = "bundle-key.txt"
HEADER = "# The key of the bundles this cluster is installed from. Written by the first run of site.yml.\n"
SETTING = "kdist_bundle_key"


@dataclass(frozen=True)
class Trust:
    """The one key that is trusted, None before the first run, and where it comes from."""

    key: str | None
    source: str

    def check(self, directory: Path) -> signature.Signed:
        """The signed manifest of a bundle. BundleError with the next step when it may not be installed."""
        try:
            return signature.check(directory, self.key)
        except BundleError as error:
            raise BundleError(f"{error} (trusted: {self.source})" if self.key else str(error)) from error


def of_cluster(configured: str | None, inventory: Path | None) -> Trust:
    """The trust of a cluster. ``configured`` is the cluster file's key, ``inventory`` the inventory's directory.

    BundleError when neither can say anything.
    """
    if configured:
        try:
            return Trust(signature.line_of(signature.parse_key(configured)), SETTING)
        except ValueError as error:
            raise BundleError(f"{SETTING} {error}") from error
    if inventory is None:
        raise BundleError(f"this inventory lies in no directory to record the bundle's key in; set {SETTING}")
    record = inventory / RECORD
    try:
        lines = [line for line in record.read_text().splitlines() if not line.startswith("#")]
    except FileNotFoundError:
        return Trust(None, f"the first bundle, to be recorded in {record}")
    try:
        key = signature.line_of(signature.parse_key("\n".join(lines)))
    except ValueError as error:
        raise BundleError(
            f"{record} {error}; set {SETTING}, or remove the file to trust the next bundle"
        ) from error
    return Trust(key, f"recorded in {record}; remove it to trust the next bundle, or set {SETTING}")


def record(inventory: Path, key: str) -> None:
    """Remember the key of the first bundle."""
    (inventory / RECORD).write_text(f"{HEADER}{key}\n")
