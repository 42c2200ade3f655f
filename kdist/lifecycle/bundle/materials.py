"""What a bundle is made of, for its bill of materials: packages, wheels and images with licences and checksums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from kdist.lifecycle.bundle import closure, licences, oci, sbom
from kdist.lifecycle.bundle.apt import Package
from kdist.lifecycle.bundle.contents import Digests
from kdist.lifecycle.bundle.manifest import NODE
from kdist.lifecycle.bundle.release import KUBECTL_SUITE, Release

OWN_LICENCE = ("Apache-2.0",)


def items(
    releases: Sequence[Release], images: Iterable[oci.Built], own_wheel: Path, digests: Digests, cache: Path
) -> list[sbom.Item]:
    """Every component of a bundle of these releases; images are made of the first one's packages and wheels."""
    first = releases[0]
    inside = _inside(first)
    packages = {(r.suite, p.path): p for r in releases for found in r.debs.values() for p in found}
    packages |= {(first.suite, p.path): p for contents in inside.values() for p in contents}
    known = licences.PackageLicences(cache / "licences.json").of(packages.values())
    debian = {
        package.path: _package(package, suite, known, digests) for (suite, _), package in packages.items()
    }
    wheels = {wheel: _wheel(wheel, digests) for one in releases for wheel in one.wheels} | {
        own_wheel: _wheel(own_wheel, digests, kind="kdist")
    }
    python = [wheels[wheel] for wheel in (*first.wheels, own_wheel)]
    made = []
    for built in images:
        name = built.image.name.rpartition("/")[2].partition(":")[0]
        parts = [debian[package.path] for package in inside.get(name, ())]
        made.append(_image(built, parts + (python if name == "kdist" else [])))
    return list({str(item.purl): item for item in (*debian.values(), *wheels.values(), *made)}.values())


def _inside(release: Release) -> dict[str, list[Package]]:
    """Short name of an image → the Debian packages it is made of."""
    parts = release.parts
    busybox, libc = [parts.busybox_package()], parts.libc_packages()
    return {
        "busybox": busybox,
        "demo-web": busybox,
        "etcd": busybox + libc + parts.etcd_packages(),
        "kdist": busybox + libc + parts.system_packages(),
    }


def _package(package: Package, suite: str, known: dict[str, tuple[str, ...]], digests: Digests) -> sbom.Item:
    origin = KUBECTL_SUITE if package.name == "kubectl" else suite
    url = sbom.package_url(package.name, package.version, origin)
    sha256 = digests.entry(package.path, NODE).sha256
    return sbom.Item("package", package.name, package.version, url, sha256, known[package.path.name])


def _wheel(wheel: Path, digests: Digests, kind: str = "wheel") -> sbom.Item:
    metadata = closure.metadata_of(wheel)
    name, version = canonicalize_name(metadata["Name"]), str(metadata["Version"])
    terms = OWN_LICENCE if kind == "kdist" else licences.of_wheel(metadata)
    url = sbom.wheel_url(name, version, wheel.name)
    return sbom.Item(kind, name, version, url, digests.entry(wheel, NODE).sha256, terms)


def _image(built: oci.Built, parts: list[sbom.Item]) -> sbom.Item:
    url = sbom.image_url(built.image.name, f"sha256:{built.manifest.digest}")
    name, _, tag = built.image.name.rpartition(":")
    needs = tuple(str(part.purl) for part in parts)
    own = OWN_LICENCE if not parts else ()  # pause is all ours; the others' licences are those of their parts
    return sbom.Item("image", name, tag, url, built.manifest.digest, own, needs)
