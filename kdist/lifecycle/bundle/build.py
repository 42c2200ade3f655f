"""Build a bundle: fetch, make layers and images, lay everything out, describe it, sign it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

from kdist import __version__
from kdist.config.bundle import SUITES, BundleSettings
from kdist.lifecycle.bundle import closure, contents, materials, oci, release, sbom, signature, site, wheels
from kdist.lifecycle.bundle.contents import Digests, Source
from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, OPERATOR, ImageEntry, Manifest
from kdist.lifecycle.bundle.parts import Parts
from kdist.lifecycle.bundle.process import BundleError, require
from kdist.lifecycle.bundle.release import Release, Tree
from kdist.lifecycle.versions import Version

TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg", "gcc": "gcc", "strip": "binutils"}

Report = Callable[[str], None]


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


def _check(settings: BundleSettings) -> None:
    unknown = [suite for suite in settings.suite if suite not in SUITES]
    if unknown or not settings.suite or len(set(settings.suite)) < len(settings.suite):
        raise BundleError(
            f"--suite {','.join(settings.suite)}: name each of {', '.join(SUITES)} at most once"
        )
    contents.check_place(settings.out)
    if settings.version:
        try:
            Version.parse(settings.version)
        except ValueError as error:
            raise BundleError(f"--version: {error}") from error
    require(TOOLS)


def _build(settings: BundleSettings, cache: Path, report: Report) -> Manifest:
    version, checkout = settings.version or __version__, wheels.checkout()
    key, _ = signature.ensure_key(settings.key.expanduser())
    releases = _releases(settings, cache, checkout, report)
    report("images")
    trees = {r.suite: r.tree(checkout, version) for r in releases}
    images = _images(releases[0].parts, trees[releases[0].suite], version)
    own_wheel, digests = _own_wheel(checkout, version, cache), Digests(cache / "digests.json")
    files, sites = _files(releases, trees, images, own_wheel, digests)
    files |= contents.tree_file(releases[0].parts.checkout(checkout, version), version)
    report("bill of materials")
    materials_of = materials.items(releases, images, own_wheel, digests, cache)
    files[sbom.FILE] = contents.document(sbom.document(version, materials_of), OPERATOR)
    digests.save()
    manifest = Manifest(
        version=version,
        suite=releases[0].suite,
        api_level=settings.api_level,
        checkout=__version__,
        images=tuple(
            ImageEntry(i.image.name, f"sha256:{i.manifest.digest}", i.image.needed_by, i.size) for i in images
        ),
        hosts={one.suite: one.described(sites[one.suite]) for one in releases},
        files={name: source.entry for name, source in files.items()},
    )
    report("layout")
    contents.lay_out(settings.out, files)
    if gaps := closure.gaps(settings.out, manifest, checkout):
        raise BundleError("the bundle is not closed:\n" + "\n".join(gaps))
    manifest.write(settings.out)
    signature.sign(settings.out, key)
    if settings.tar:
        contents.write_tar(settings.out, settings.tar, version)
    return manifest


def _releases(settings: BundleSettings, cache: Path, checkout: Path, report: Report) -> list[Release]:
    found = []
    for suite in settings.suite:
        report(f"Debian packages and Python wheels for {suite}")
        images = suite == settings.suite[0]
        found.append(release.fetch(cache, suite, checkout, images=images, refresh=settings.refresh))
    return found


def _files(
    releases: list[Release],
    trees: dict[str, Tree],
    images: list[oci.Built],
    own_wheel: Path,
    digests: Digests,
) -> tuple[dict[str, Source], dict[str, tuple[str, ...]]]:
    """Every file of the bundle, and the files that make each suite's Python tree."""
    files = contents.image_files(images)
    sites = {
        releases[0].suite: tuple(contents.layer_path(layer) for layer in trees[releases[0].suite].roles())
    }
    for one in releases:
        files |= contents.package_files(one, digests)
        files |= contents.wheel_files([*one.wheels, *one.operator_wheels], digests)
        if one.suite not in sites:
            layers = contents.site_files(one.suite, trees[one.suite].roles())
            sites[one.suite] = tuple(layers)
            files |= layers
    files |= contents.wheel_files([own_wheel], digests)
    return files, sites


def _own_wheel(checkout: Path, version: str, cache: Path) -> Path:
    own = cache / f"kdist-{version}-py3-none-any.whl"
    site.write_wheel(checkout, own, version)
    return own


def _images(parts: Parts, tree: Tree, version: str) -> list[oci.Built]:
    busybox, libc, system = parts.busybox(), parts.libc(), parts.system()
    busybox_version, etcd_version = parts.busybox_package().upstream, parts.etcd_packages()[0].upstream
    python = {"PYTHONDONTWRITEBYTECODE": "1", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    images = (
        oci.Image("localhost/pause:3.10", (parts.pause(),), NODE, entrypoint=("/pause",)),
        # One name, and on control planes more in it.
        *(
            oci.Image(
                f"localhost/kdist:{version}",
                (busybox, libc, system, *tree.of(role)),
                role,
                entrypoint=("kdist",),
                environment=python,
            )
            for role in (NODE, CONTROL_PLANE)
        ),
        oci.Image(f"localhost/busybox:{busybox_version}", (busybox,), NODE, command=("sh",)),
        oci.Image("localhost/demo-web:0.1.0", (busybox, parts.web_server()), NODE, entrypoint=("demo-web",)),
        oci.Image(
            f"localhost/etcd:{etcd_version}", (busybox, libc, parts.etcd()), CONTROL_PLANE, command=("etcd",)
        ),
    )
    return [oci.build(image) for image in images]
