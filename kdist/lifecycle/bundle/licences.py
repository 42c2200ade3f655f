"""Under which licences packages come: what Debian packages say in their copyright file, wheels in their metadata.

Debian's short names are kept as they are (GPL-2+): translating them to SPDX identifiers would be guessing.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from debian.copyright import Copyright, License, MachineReadableFormatError, NotMachineReadableError

from kdist.lifecycle.bundle.apt import Package
from kdist.lifecycle.bundle.process import BundleError

COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9+])")
LONGEST_NAME = 60
# It remarks on old spellings of the format's address.
logging.getLogger("debian.copyright").setLevel(logging.ERROR)


class PackageLicences:
    """Licences of Debian packages, read once per version and remembered in ``memory``."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def of(self, packages: Iterable[Package]) -> dict[str, tuple[str, ...]]:
        """File name of each package → names of licences; empty when its copyright file names none we can read.

        A package whose documentation is another's (a link) has that one's licences.
        """
        packages = list(packages)
        known: dict[str, dict[str, Any]] = (
            json.loads(self._memory.read_text()) if self._memory.exists() else {}
        )
        new = [package.path for package in packages if package.path.name not in known]
        with ThreadPoolExecutor() as pool:
            known |= {path.name: found for path, found in zip(new, pool.map(_read, new), strict=True)}
        if new:
            self._memory.write_text(json.dumps(known, indent=1))
        by_name = {package.name: known[package.path.name] for package in packages}
        return {
            package.path.name: tuple(_followed(known[package.path.name], by_name)["licences"])
            for package in packages
        }


def _followed(found: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> dict[str, Any]:
    visited: set[str] = set()
    while found["see"] in by_name and found["see"] not in visited:
        visited.add(found["see"])
        found = by_name[found["see"]]
    return found


def _read(deb: Path) -> dict[str, Any]:
    """What the package's documentation directory says: licences, or whose documentation to see."""
    name = deb.name.partition("_")[0]
    directory = f"./usr/share/doc/{name}"
    text = _unpack(deb, "-xO", "--wildcards", f"{directory}/copyright*")
    if text:
        return {"licences": names_in(text), "see": ""}
    listing = _unpack(deb, "-tv", directory, f"{directory}/copyright")
    link = re.search(rf" {re.escape(directory)}(?:/copyright)? -> (?:\.\./)?([^/\s]+)", listing)
    return {"licences": [], "see": link[1] if link else ""}


def _unpack(deb: Path, *arguments: str) -> str:
    """Output of tar on the package's files; empty for members that are not there."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        done = subprocess.run(["tar", *arguments], stdin=process.stdout, capture_output=True, check=False)
    if process.returncode:
        raise BundleError(f"{deb} cannot be read as a Debian package")
    return done.stdout.decode(errors="replace")


def names_in(copyright_file: str) -> list[str]:
    """Names of licences in a copyright file, machine-readable or not."""
    try:
        parsed = Copyright(copyright_file.splitlines(keepends=True), strict=False)
        stated = (cast(License | None, files.license) for files in parsed.all_files_paragraphs())
        found = {one.synopsis for one in stated if one}
    except (NotMachineReadableError, MachineReadableFormatError, ValueError):
        found = set(COMMON.findall(copyright_file))
    return sorted(name for name in found if name)


def of_wheel(metadata: Any) -> tuple[str, ...]:
    """The licence in a wheel's METADATA: as an SPDX expression, as a name, or as its classifiers name it."""
    if expression := metadata["License-Expression"]:
        return (str(expression),)
    name = str(metadata["License"] or "").strip()
    if name and len(name) <= LONGEST_NAME and "\n" not in name:
        return (name,)
    classifiers = metadata.get_all("Classifier") or ()
    return tuple(sorted(c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")))
