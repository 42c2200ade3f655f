"""May this bundle be installed on these hosts? Signature, every checksum, and a share for every host's release."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.config.bundle import RELEASES
from kdist.lifecycle.bundle import manifest, trust
from kdist.lifecycle.bundle.process import BundleError
from kdist.lifecycle.spec import Problem

HOSTS = (manifest.NODE, manifest.CONTROL_PLANE)


@dataclass(frozen=True)
class Taken:
    """A bundle that may be installed, unless ``faults`` has something: then it may not. ``first_key`` is to be
    recorded when the run goes on: nothing was trusted before."""

    manifest: manifest.Manifest | None
    faults: tuple[str, ...] = ()
    first_key: str | None = None


def take(directory: Path, configured: str | None, inventory: Path | None) -> Taken:
    """Check a bundle whole, its signature first. Wheels need not be there, being no host's; altered they are told."""
    try:
        known = trust.of_cluster(configured, inventory)
        signed = known.check(directory)
        faults = manifest.verify(directory, signed.manifest, HOSTS)
    except BundleError as error:
        return Taken(None, (f"bundle: {error}; make one with `kdist bundle build`, or set kdist_bundle",))
    told = tuple(f"bundle {directory}: {fault}" for fault in faults)
    return Taken(signed.manifest, told, None if known.key else signed.key)


def suite_of(facts: Mapping[str, Any] | None) -> str | None:
    """The suite of an observed host; None for a host that was not looked at or runs something else."""
    return RELEASES.get((facts["os_id"], facts["os_version"])) if facts else None


def own_suite() -> str:
    """The suite of this machine. BundleError when bundles are not for what it runs."""
    release = platform.freedesktop_os_release()
    try:
        return RELEASES[release["ID"], release["VERSION_ID"]]
    except KeyError as error:
        raise BundleError(
            f"this machine runs {release['PRETTY_NAME']}; name the host's release: --suite"
        ) from error


def unserved(bundle: manifest.Manifest, observed: Mapping[str, Mapping[str, Any] | None]) -> list[Problem]:
    """Hosts whose release the bundle has nothing for. Releases that are not supported at all are preflight's."""
    problems = []
    for host, facts in observed.items():
        suite = suite_of(facts)
        if suite and suite not in bundle.hosts:
            has, wanted = ", ".join(bundle.hosts), ",".join([*bundle.hosts, suite])
            reason = f"runs {suite}, and the bundle is for {has}; kdist bundle build --suite {wanted}"
            problems.append(Problem(host, "", reason))
    return problems
