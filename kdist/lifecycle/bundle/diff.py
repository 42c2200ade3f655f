"""What differs between two bundles, and which files must travel from the one to the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from packaging.utils import parse_wheel_filename

from kdist.lifecycle.bundle.manifest import Manifest


@dataclass(frozen=True)
class Change:
    """One package, wheel, image or file in one place (a suite, a Python version). None: it is not there.

    ``size`` is that of the new bundle's files for it, the old one's when it is gone, in bytes.
    """

    kind: str
    name: str
    place: str
    before: str | None
    after: str | None
    size: int

    @property
    def action(self) -> str:
        """added, removed, changed (another version) or rebuilt (the same version with another content)."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "rebuilt" if self.before == self.after else "changed"


@dataclass(frozen=True)
class Difference:
    """All changes, and the new bundle's files whose content the old one does not have, name → bytes."""

    before: str
    after: str
    changes: tuple[Change, ...]
    travels: Mapping[str, int]
    total: int

    def to_json(self) -> dict[str, Any]:
        """For machines: versions, changes, files that must travel."""
        return {
            "before": self.before,
            "after": self.after,
            "changes": [{**asdict(change), "action": change.action} for change in self.changes],
            "travels": {"files": dict(self.travels), "bytes": sum(self.travels.values()), "of": self.total},
        }


@dataclass(frozen=True)
class Part:
    """A thing of a bundle: its version as people read it, digests of its files, bytes."""

    version: str
    content: frozenset[str]
    size: int


Key = tuple[str, str, str]


def compare(old: Manifest, new: Manifest) -> Difference:
    """Everything that differs. Both manifests are taken as they are: check signatures first where it matters."""
    before, after = dict(_parts(old)), dict(_parts(new))
    changes = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was and now and (was.version, was.content) == (now.version, now.content):
            continue
        there = now or was
        assert there is not None
        changes.append(Change(*key, was.version if was else None, now.version if now else None, there.size))
    had = {entry.sha256 for entry in old.files.values()}
    travels = {name: entry.size for name, entry in sorted(new.files.items()) if entry.sha256 not in had}
    total = sum(entry.size for entry in new.files.values())
    return Difference(old.version, new.version, tuple(changes), travels, total)


def _parts(manifest: Manifest) -> Iterator[tuple[Key, Part]]:
    yield from _packages(manifest)
    yield from _wheels(manifest)
    yield from _images(manifest)
    for suite, release in manifest.hosts.items():
        files = [manifest.files[name] for name in release.site if name in manifest.files]
        digests = frozenset(entry.sha256 for entry in files)
        yield ("tree", "python", suite), Part(manifest.version, digests, sum(entry.size for entry in files))


def _packages(manifest: Manifest) -> Iterator[tuple[Key, Part]]:
    for suite, release in manifest.hosts.items():
        for role, packages in release.packages.items():
            for name, version in packages.items():
                prefix = f"debs/{suite}/{role}/{name}_"
                entry = next((e for file, e in manifest.files.items() if file.startswith(prefix)), None)
                content = frozenset({entry.sha256} if entry else ())
                yield ("package", name, suite), Part(version, content, entry.size if entry else 0)


def _wheels(manifest: Manifest) -> Iterator[tuple[Key, Part]]:
    for file, entry in manifest.files.items():
        if file.startswith("wheels/"):
            name, version, _, tags = parse_wheel_filename(file.removeprefix("wheels/"))
            interpreters = "/".join(sorted({tag.interpreter for tag in tags}))
            yield ("wheel", name, interpreters), Part(str(version), frozenset({entry.sha256}), entry.size)


def _images(manifest: Manifest) -> Iterator[tuple[Key, Part]]:
    for image in manifest.images:
        name, _, tag = image.name.rpartition(":")
        yield ("image", name, image.needed_by), Part(tag, frozenset({image.digest}), image.size)
