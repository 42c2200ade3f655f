"""The operator's tree in the bundle: the checkout without its tests, so that nothing else need be carried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kdist.lifecycle.bundle import site

PARTS = (
    *("ansible.cfg", "site.yml", "pyproject.toml", "requirements.lock", "requirements-operator.lock"),
    *("README.md", "CHANGELOG.md", "docs", "examples", "inventory/sample", "playbooks", "plugins", "roles"),
)


def files(checkout: Path, version: str) -> dict[str, tuple[bytes, int]]:
    """Every file of the tree, sorted: content and mode. kdist says the bundle's version."""
    found = {name: (path.read_bytes(), _mode(path)) for name, path in _paths(checkout)}
    for path in site.sources(checkout):
        found[str(path.relative_to(checkout))] = (site.source_content(checkout, path, version), _mode(path))
    project, mode = found["pyproject.toml"]
    found["pyproject.toml"] = (
        re.sub(rb'(?m)^version = ".*"', f'version = "{version}"'.encode(), project, count=1),
        mode,
    )
    return dict(sorted(found.items()))


def _paths(checkout: Path) -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        top = checkout / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(checkout)), path


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o111 else 0o644
