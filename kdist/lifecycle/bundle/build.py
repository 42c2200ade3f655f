"""Build a bundle: fetch, make layers and images, lay everything out, describe it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kdist import __version__
from kdist.config.bundle import HOST_PACKAGES, SUITES, BundleSettings
from kdist.lifecycle.bundle import oci, site, wheels
from kdist.lifecycle.bundle.apt import ESSENTIAL, Apt, Package
from kdist.lifecycle.bundle.layers import TarWriter, file_digest
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, FILE, NODE, OPERATOR, Entry, ImageEntry, Manifest
from kdist.lifecycle.bundle.parts import Parts
from kdist.lifecycle.bundle.process import BundleError, require
from kdist.lifecycle.versions import Version

TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg", "gcc": "gcc", "strip": "binutils"}
NODE_PACKAGES = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "ethtool",
    "iptables",
    "nftables",
    "runc",
    "socat",
)
CONTROL_PLANE_PACKAGES = ("etcd-client",)
# The first Debian release with a kubectl package; it needs nothing but a C library, so it runs on 12 too.
KUBECTL_SUITE = "trixie"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A file on its way into the bundle: content from a file of the cache, or in memory."""

    content: Path | bytes
    entry: Entry


def build(settings: BundleSettings, report: Report) -> Manifest:
    """Build the bundle at ``settings.out``; unchanged parts come from the cache. BundleError when it cannot be.

    One build at a time uses a cache; others wait.
    """
    _check(settings)
    cache = settings.cache.expanduser().absolute()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(settings, cache, report)


def _build(settings: BundleSettings, cache: Path, report: Report) -> Manifest:
    version, checkout = settings.version or __version__, wheels.checkout()
    digests = Digests(cache / "digests.json")
    parts = Parts(cache, settings.suite, wheels.PYTHONS[settings.suite], refresh=settings.refresh)
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(wheels.fetch, checkout, settings.suite, cache)
        report("Debian packages")
        debs = _host_packages(parts, cache, refresh=settings.refresh)
        parts.fetch()
        report("Python wheels")
        third_party = fetching.result()
    report("images")
    images = _images(parts, third_party, checkout, version, site.neighbours(settings.api_level))
    files = _package_files(debs, digests) | _image_files(images)
    files |= _wheel_files(third_party, checkout, version, cache, digests)
    digests.save()
    manifest = Manifest(
        version=version,
        suite=settings.suite,
        python=wheels.PYTHONS[settings.suite],
        api_level=settings.api_level,
        checkout=__version__,
        packages={
            role: {p.name: p.version for p in sorted(found, key=lambda p: p.name)}
            for role, found in debs.items()
        },
        site=tuple(f"images/blobs/sha256/{layer.digest}" for layer in _kdist_image(images).layers[-2:]),
        images=tuple(
            ImageEntry(i.image.name, f"sha256:{i.manifest.digest}", i.image.needed_by) for i in images
        ),
        files={name: source.entry for name, source in files.items()},
    )
    report("layout")
    _lay_out(settings.out, files, manifest)
    if settings.tar:
        _write_tar(settings.out, settings.tar, version)
    return manifest


def _check(settings: BundleSettings) -> None:
    if settings.suite not in SUITES:
        raise BundleError(f"--suite {settings.suite}: choose one of {', '.join(SUITES)}")
    if settings.out.exists() and any(settings.out.iterdir()) and not (settings.out / FILE).exists():
        raise BundleError(f"--out {settings.out} is not empty and no bundle: nothing in it is replaced")
    if settings.version:
        try:
            Version.parse(settings.version)
        except ValueError as error:
            raise BundleError(f"--version: {error}") from error
    require(TOOLS)


def _host_packages(parts: Parts, cache: Path, *, refresh: bool) -> dict[str, list[Package]]:
    """role → packages to install, without what every host has."""
    have = parts.names(ESSENTIAL, *HOST_PACKAGES)
    node = [package for package in parts.packages(*NODE_PACKAGES) if package.name not in have]
    have |= {package.name for package in node}
    control_plane = [
        package for package in parts.packages(*CONTROL_PLANE_PACKAGES) if package.name not in have
    ]
    kubectl = Apt(cache, KUBECTL_SUITE).closure(("kubectl",), refresh=refresh)
    control_plane += [package for package in kubectl if package.name == "kubectl"]
    return {NODE: node, CONTROL_PLANE: control_plane}


def _images(
    parts: Parts, third_party: list[Path], checkout: Path, version: str, levels: list[str]
) -> list[oci.Built]:
    busybox, libc = parts.busybox(), parts.libc()
    kdist = (
        busybox,
        libc,
        parts.system(),
        parts.dependencies(third_party, levels),
        parts.kdist(checkout, version),
    )
    busybox_version, etcd_version = parts.busybox_package().upstream, parts.etcd_packages()[0].upstream
    python = {"PYTHONDONTWRITEBYTECODE": "1", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    images = (
        oci.Image("localhost/pause:3.10", (parts.pause(),), NODE, entrypoint=("/pause",)),
        oci.Image(f"localhost/kdist:{version}", kdist, NODE, entrypoint=("kdist",), environment=python),
        oci.Image(f"localhost/busybox:{busybox_version}", (busybox,), NODE, command=("sh",)),
        oci.Image(
            f"localhost/demo-web:{version}", (busybox, parts.web_server()), NODE, entrypoint=("demo-web",)
        ),
        oci.Image(
            f"localhost/etcd:{etcd_version}", (busybox, libc, parts.etcd()), CONTROL_PLANE, command=("etcd",)
        ),
    )
    return [oci.build(image) for image in images]


def _kdist_image(images: list[oci.Built]) -> oci.Image:
    return next(built.image for built in images if built.image.name.startswith("localhost/kdist:"))


class Digests:
    """sha256 of downloaded files, remembered by name, size and time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        self._used: dict[str, str] = {}

    def entry(self, path: Path, needed_by: str) -> Entry:
        """The manifest's entry of a file."""
        stat = path.stat()
        key = f"{path} {stat.st_size} {stat.st_mtime_ns}"
        self._used[key] = self._known.get(key) or file_digest(path)
        return Entry(self._used[key], stat.st_size, needed_by)

    def save(self) -> None:
        """Remember what was asked this time."""
        self._path.write_text(json.dumps(self._known | self._used, indent=1))


def _package_files(debs: dict[str, list[Package]], digests: Digests) -> dict[str, Source]:
    return {
        f"debs/{role}/{package.path.name}": Source(package.path, digests.entry(package.path, role))
        for role, packages in debs.items()
        for package in packages
    }


def _image_files(images: list[oci.Built]) -> dict[str, Source]:
    """The OCI layout: documents and layers, each needed by whoever needs one of its images."""
    files = {
        "images/oci-layout": _document(oci.LAYOUT, NODE),
        "images/index.json": _document(oci.index(built.index_entry for built in images), NODE),
    }
    # Images for every host come last: a layer they share with others is needed by every host.
    for built in sorted(images, key=lambda built: built.image.needed_by == NODE):
        role = built.image.needed_by
        for document in (built.config, built.manifest):
            files[f"images/blobs/sha256/{document.digest}"] = _document(document.content, role)
        for layer in built.image.layers:
            files[f"images/blobs/sha256/{layer.digest}"] = Source(
                layer.path, Entry(layer.digest, layer.size, role)
            )
    return files


def _document(content: bytes, role: str) -> Source:
    return Source(content, Entry(oci.Document(content).digest, len(content), role))


def _wheel_files(
    third_party: list[Path], checkout: Path, version: str, cache: Path, digests: Digests
) -> dict[str, Source]:
    own = cache / f"kdist-{version}-py3-none-any.whl"
    site.write_wheel(checkout, own, version)
    return {
        f"wheels/{wheel.name}": Source(wheel, digests.entry(wheel, OPERATOR)) for wheel in (*third_party, own)
    }


def _lay_out(out: Path, files: dict[str, Source], manifest: Manifest) -> None:
    """Make ``out`` hold exactly these files; what is there already is kept. The manifest goes first and comes last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    for path in [path for path in out.rglob("*") if not path.is_dir() or path.is_symlink()]:
        if str(path.relative_to(out)) not in files:
            path.unlink()
    for name, source in files.items():
        _place(source.content, out / name)
    manifest.write(out)


def _place(content: Path | bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    wanted = content.stat()
    if target.exists():
        found = target.stat()
        if (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
            return
    shutil.copy2(content, target)


def _write_tar(out: Path, path: Path, version: str) -> None:
    with path.open("wb") as file:
        tar = TarWriter(file)
        tar.tree_at(out, f"kdist-bundle-{version}")
        tar.close()
