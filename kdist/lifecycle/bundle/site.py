"""The Python tree of a host and of the kdist image, in two layers: third-party packages, and kdist.

Both have their files under ``opt/kdist/current`` whatever the version, so that third-party packages make the
same layer for every version of kdist. Nothing is installed by pip: wheels are archives of what is wanted.
"""

from __future__ import annotations

import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from kdist.lifecycle.bundle.process import run

PREFIX = "opt/kdist/current"
# Isolated (-I) and without site (-S): the tree is fixed, and starting is faster. Debian's own modules (nftables)
# come last.
LAUNCHER = """\
#!/usr/bin/python3 -IS
import os
import sys

root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(root, "lib"))
sys.path.append("/usr/lib/python3/dist-packages")
from kdist.cli.main import main

main()
"""
UNNEEDED = (
    "*/tests/*",
    "numpy/f2py/*",
    "numpy/distutils/*",
    "numpy/_core/include/*",
    "numpy/_core/lib/*",
    "*.pyi",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*.c",
    "*.h",
    "*.hpp",
    "*.cpp",
    "*.a",
    "*.dist-info/RECORD",
    "*.dist-info/WHEEL",
    "*.dist-info/top_level.txt",
)
# kubernetes-validate carries every level since 1.25 in two forms; a host needs the definitions of a few.
DEFINITIONS = re.compile(
    r"kubernetes_validate/kubernetes-json-schema/v(?P<level>\d+\.\d+)\.0-local/_definitions\.json"
)


def unpack_wheels(wheels: Iterable[Path], tree: Path, levels: Iterable[str]) -> None:
    """Unpack wheels into ``tree``, leaving out what a host does not need."""
    wanted = frozenset(levels)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = placed(info.filename)
                if name is None or info.is_dir() or not needed(name, wanted):
                    continue
                target = tree / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(info))


def strip(tree: Path) -> None:
    """Take the debug symbols out of extension modules. Libraries under NAME.libs are left as they are: their
    wheel's maker has moved sections, and they would not load any more."""
    modules = [path for path in tree.rglob("*.so") if not path.relative_to(tree).parts[0].endswith(".libs")]
    if modules:
        run("strip", "--strip-unneeded", *map(str, modules))


def placed(member: str) -> str | None:
    """Where a wheel's member lies in site-packages; None for what lies elsewhere (scripts, data)."""
    top, _, rest = member.partition("/")
    if not top.endswith(".data"):
        return member
    scheme, _, name = rest.partition("/")
    return name if scheme in ("purelib", "platlib") else None


def needed(name: str, levels: frozenset[str]) -> bool:
    """Whether a host needs this file of a third-party package."""
    if name.startswith("kubernetes_validate/kubernetes-json-schema/"):
        definitions = DEFINITIONS.fullmatch(name)
        return definitions is not None and definitions["level"] in levels
    return not any(fnmatch(name, pattern) for pattern in UNNEEDED)


def sources(root: Path) -> list[Path]:
    """kdist's own files in the checkout, without byte code."""
    return sorted(
        path for path in (root / "kdist").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def source_content(root: Path, path: Path, version: str) -> bytes:
    """A source file's content; the package says the bundle's version."""
    content = path.read_bytes()
    if path == root / "kdist/__init__.py":
        return re.sub(rb'__version__ = ".*"', f'__version__ = "{version}"'.encode(), content)
    return content


def copy_kdist(root: Path, tree: Path, version: str) -> None:
    """Copy kdist and its metadata into ``tree``."""
    for path in sources(root):
        target = tree / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source_content(root, path, version))
    info = tree / f"kdist-{version}.dist-info"
    info.mkdir(parents=True)
    for name, text in metadata_files(root, version).items():
        (info / name).write_text(text)


def metadata_files(root: Path, version: str) -> dict[str, str]:
    """The dist-info of kdist, as the checkout's pyproject.toml describes it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = ["Metadata-Version: 2.1", "Name: kdist", f"Version: {version}"]
    lines += [f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {wanted}" for wanted in project["dependencies"]]
    operator = project["optional-dependencies"]["operator"]
    lines += [
        "Provides-Extra: operator",
        *(f'Requires-Dist: {wanted}; extra == "operator"' for wanted in operator),
    ]
    return {
        "METADATA": "\n".join(lines) + "\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: kdist\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "[console_scripts]\nkdist = kdist.cli.main:main\n",
    }


def write_wheel(root: Path, path: Path, version: str) -> None:
    """Write kdist as a wheel, the same bytes for the same sources."""
    info = f"kdist-{version}.dist-info"
    members = dict(_wheel_members(root, version))
    names = [*members, f"{info}/RECORD"]
    members[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in names).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _wheel_members(root: Path, version: str) -> Iterator[tuple[str, bytes]]:
    for path in sources(root):
        yield str(path.relative_to(root)), source_content(root, path, version)
    for name, text in metadata_files(root, version).items():
        yield f"kdist-{version}.dist-info/{name}", text.encode()


def clear(tree: Path) -> Path:
    """An empty directory at ``tree``."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    return tree
