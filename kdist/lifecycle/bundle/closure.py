"""Is a bundle closed? Nothing in it may need anything that is neither in it nor in the hosts' base system.

Proven from the files themselves, on the operator's machine: every dependency of every Debian package, every document
and layer of every image, every requirement of every wheel, every image that the playbooks and roles name.
"""

from __future__ import annotations

import json
import lzma
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any, cast

from debian.arfile import ArError
from debian.debfile import DebFile
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from kdist.lifecycle.bundle import relations
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, HostRelease, Manifest
from kdist.lifecycle.bundle.process import BundleError

WIDER = {NODE: (NODE,), CONTROL_PLANE: (NODE, CONTROL_PLANE)}
NAMED = re.compile(r"(?<![\w.])images\.(\w+)|localhost/([a-z0-9-]+)(?::([\w.]+))?")
# Where an installation names images: what roles and playbooks render, and what the quick start applies.
NAMING = ("playbooks/*.yml", "roles/*/templates/*.j2", "roles/*/defaults/*.yml", "examples/*.yaml")


def gaps(directory: Path, manifest: Manifest, checkout: Path | None) -> list[str]:
    """What is missing for the bundle to be closed, one line each. Every listed file must be there.

    ``checkout``: the playbooks that will use the bundle, None when they are not at hand.
    """
    found = [
        line for suite, release in manifest.hosts.items() for line in _packages(directory, suite, release)
    ]
    found += _images(directory, manifest)
    for release in manifest.hosts.values():
        found += wheels_unmet(wheel_metadata(directory, manifest), release.python)
    if checkout:
        found += unnamed(images_named(checkout), manifest)
    return list(dict.fromkeys(found))


def controls(debs: Iterable[Path]) -> list[relations.Control]:
    """The control files of these packages. BundleError when one is no Debian package."""
    found = []
    for path in debs:
        try:
            with DebFile(str(path)) as deb:
                found.append(relations.Control.of(deb.control.debcontrol()))
        except (ArError, tarfile.TarError, lzma.LZMAError, LookupError, ValueError, EOFError) as error:
            raise BundleError(f"{path} cannot be read as a Debian package: {error}") from error
    return found


def _packages(directory: Path, suite: str, release: HostRelease) -> Iterator[str]:
    """Per role: a worker has only its own packages, a control-plane host both."""
    files = {role: sorted((directory / f"debs/{suite}/{role}").glob("*.deb")) for role in release.packages}
    known = {role: controls(paths) for role, paths in files.items()}
    for role, shares in WIDER.items():
        together = [control for share in shares for control in known.get(share, ())]
        yield from (f"{suite}: {line}" for line in relations.unmet(together, release.base))
        present = {(control.name, control.version) for control in known.get(role, ())}
        for package, version in release.packages.get(role, {}).items():
            if (package, version) not in present:
                yield f"{suite}: package {package} {version} is listed and has no .deb in debs/{suite}/{role}"


def _images(directory: Path, manifest: Manifest) -> Iterator[str]:
    """Every image is in the index under its digest, and its documents and layers go to whoever gets the image."""
    index = json.loads((directory / "images/index.json").read_text())["manifests"]
    entries = {(entry["annotations"]["io.containerd.image.name"], entry["digest"]) for entry in index}
    for image in manifest.images:
        if (image.name, image.digest) not in entries:
            yield f"image {image.name} is not in images/index.json as {image.digest}"
            continue
        for digest in _blobs(directory, image.digest):
            entry = manifest.files.get(_path(digest))
            if entry is None:
                yield f"image {image.name} needs {digest}, which is not in the bundle"
            elif image.needed_by not in (entry.needed_by, *_narrower(entry.needed_by)):
                yield f"image {image.name} is for {image.needed_by}, its part {digest} only for {entry.needed_by}"


def _narrower(role: str) -> tuple[str, ...]:
    return (CONTROL_PLANE,) if role == NODE else ()


def _blobs(directory: Path, digest: str) -> Iterator[str]:
    """The digests an image consists of: its manifest, its configuration, its layers."""
    yield digest
    path = directory / _path(digest)
    if path.exists():
        content = json.loads(path.read_bytes())
        yield from (part["digest"] for part in (content["config"], *content["layers"]))


def _path(digest: str) -> str:
    return "images/blobs/" + digest.replace(":", "/")


def wheel_metadata(directory: Path, manifest: Manifest) -> dict[Path, Mapping[str, Any]]:
    """The METADATA of every wheel of the bundle."""
    return {
        directory / name: metadata_of(directory / name)
        for name in manifest.files
        if name.startswith("wheels/")
    }


def metadata_of(wheel: Path) -> Any:
    """The METADATA of a wheel as a mapping with ``get_all``."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return Parser().parsestr(archive.read(name).decode())


def wheels_unmet(metadata: Mapping[Path, Any], python: str) -> list[str]:
    """Requirements of the wheels for one Python version that no wheel for it meets."""
    ours = {path: content for path, content in metadata.items() if fits(path.name, python)}
    have = {canonicalize_name(m["Name"]): Version(m["Version"]) for m in ours.values()}
    environment = cast(dict[str, str], default_environment())
    environment |= {"python_version": python, "python_full_version": f"{python}.0"}
    found = []
    for content in ours.values():
        # Of kdist itself what the operator's machine needs too.
        extra = "operator" if content["Name"] == "kdist" else ""
        for text in content.get_all("Requires-Dist") or ():
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate(environment | {"extra": extra}):
                continue
            version = have.get(canonicalize_name(wanted.name))
            if version is None or not wanted.specifier.contains(version, prereleases=True):
                has = f"has {version}" if version else "lacks it"
                found.append(f"wheel {content['Name']} needs {text} on Python {python}; the bundle {has}")
    return found


def fits(wheel: str, python: str) -> bool:
    """Whether a wheel is for this Python version, whatever C library it was made with."""
    version = tuple(map(int, python.split(".")))
    tags = parse_wheel_filename(wheel)[3]
    wanted = {(tag.interpreter, tag.abi) for tag in cpython_tags(version, platforms=["any"])}
    wanted |= {(tag.interpreter, tag.abi) for tag in compatible_tags(version, platforms=["any"])}
    return any((tag.interpreter, tag.abi) in wanted for tag in tags)


def images_named(checkout: Path) -> dict[str, set[str | None]]:
    """Short names of the images that an installation with this checkout names, each with the tags named."""
    found: dict[str, set[str | None]] = {}
    for pattern in NAMING:
        for path in checkout.glob(pattern):
            for by_key, by_name, tag in NAMED.findall(path.read_text()):
                found.setdefault(by_key or by_name, set()).add(tag or None)
    return found


def unnamed(named: Mapping[str, set[str | None]], manifest: Manifest) -> list[str]:
    """Images that are named and not in the bundle. Tags count where they are written out, but for kdist's own."""
    have = {name.removeprefix("localhost/").partition(":")[::2] for name in (i.name for i in manifest.images)}
    return [
        f"image localhost/{name}{f':{tag}' if tag else ''} is named by the playbooks and not in the bundle"
        for name, tags in sorted(named.items())
        for tag in sorted(tags, key=str)
        if not any(name == n and tag in (None, t) for n, t in have)
    ]
