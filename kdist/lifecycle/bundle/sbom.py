"""The bill of materials: every Debian package, wheel and image of a bundle, as a CycloneDX document.

The document lies in the bundle, so the signature covers it; the same bundle has the same document.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from kdist.lifecycle.bundle.process import BundleError

FILE = "sbom.cdx.json"
TYPES = {
    "package": ComponentType.LIBRARY,
    "wheel": ComponentType.LIBRARY,
    "image": ComponentType.CONTAINER,
    "kdist": ComponentType.APPLICATION,
}


@dataclass(frozen=True)
class Item:
    """One component. ``kind`` is a key of TYPES; ``needs`` are the purls of what it is made of."""

    kind: str
    name: str
    version: str
    purl: PackageURL
    sha256: str
    licences: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def package_url(name: str, version: str, suite: str) -> PackageURL:
    """Of a Debian package."""
    return PackageURL("deb", "debian", name, version, {"arch": "amd64", "distro": suite})


def wheel_url(name: str, version: str, file: str) -> PackageURL:
    """Of a wheel; the file tells those for different Python versions apart."""
    return PackageURL("pypi", None, name, version, {"file_name": file})


def image_url(name: str, digest: str) -> PackageURL:
    """Of an image; ``name`` with registry and tag."""
    repository, _, tag = name.rpartition(":")
    short = repository.rpartition("/")[2]
    return PackageURL("oci", None, short, digest, {"repository_url": repository, "tag": tag})


def document(version: str, items: Iterable[Item]) -> bytes:
    """The document. ``version`` is the bundle's."""
    items = sorted(items, key=lambda item: str(item.purl))
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "".join(f"{i.purl} {i.sha256}" for i in items)))
    bom.metadata.timestamp = datetime.fromtimestamp(0, UTC)  # as in images: the same input, the same bytes
    root = Component(name="kdist-bundle", version=version, type=ComponentType.APPLICATION, bom_ref="bundle")
    bom.metadata.component = root
    components = {str(item.purl): _component(item) for item in items}
    for component in components.values():
        bom.components.add(component)
    bom.register_dependency(root, components.values())
    for item in items:
        bom.register_dependency(components[str(item.purl)], [components[need] for need in item.needs])
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _component(item: Item) -> Component:
    factory = LicenseFactory()
    if len(item.licences) == 1 and item.kind == "wheel":
        licences = [factory.make_from_string(item.licences[0])]
    else:  # an SPDX expression may only stand alone, so these are names
        licences = [DisjunctiveLicense(name=name) for name in item.licences]
    return Component(
        name=item.name,
        version=item.version,
        type=TYPES[item.kind],
        bom_ref=str(item.purl),
        purl=item.purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item.sha256)],
        licenses=licences,
        properties=[Property(name="kdist:kind", value=item.kind)],
    )


@dataclass(frozen=True)
class Line:
    """One component as ``kdist bundle sbom`` shows it."""

    kind: str
    name: str
    version: str
    licence: str
    sha256: str


def lines(directory: Path) -> list[Line]:
    """The components of a bundle's document. BundleError when there is none or it is damaged."""
    try:
        components = json.loads((directory / FILE).read_bytes())["components"]
        return sorted((_line(component) for component in components), key=lambda line: (line.kind, line.name))
    except FileNotFoundError as error:
        raise BundleError(f"{directory} has no {FILE}: build it again") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BundleError(f"{directory / FILE} is damaged: {error!r}") from error


def _line(component: dict[str, Any]) -> Line:
    kind = next(p["value"] for p in component["properties"] if p["name"] == "kdist:kind")
    licences = [
        entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
        for entry in component.get("licenses", ())
    ]
    return Line(
        kind, component["name"], component["version"], ", ".join(licences), component["hashes"][0]["content"]
    )
