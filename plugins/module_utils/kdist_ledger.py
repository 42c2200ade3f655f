"""The ledger of a host: what kdist found before it changed something, so that reset can take exactly that away.

Modules write an entry before each change (a run that is cut off leaves nothing unrecorded), and only the first
time: what counts is how the host was before kdist. Files that had another content are kept beside the ledger.
What the agent, the network parts and containerd make while they run lies in places and under names of their own
(:data:`TREES`, kdist_teardown.py); of those the ledger notes what was there at the beginning. Standard library only:
reset must work on a host with half a release.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

DIRECTORY = "/var/lib/kdist/ledger"
FORMAT = 1
# Everything in these that was not there at the beginning is kdist's, or of what kdist runs.
TREES = (
    "/etc/cni",
    "/etc/containerd",
    "/etc/kubernetes",
    "/opt/cni",
    "/opt/containerd",
    "/opt/kdist",
    "/run/containerd",
    "/run/kdist",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kdist",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/kubernetes",
    "/var/log/pods",
)
# Nobody else's, whatever is in them: the operator's lock is there before the ledger begins.
OWN = ("/opt/kdist", "/var/lib/kdist")
# Set by kdist net, kdist proxy and the CNI plug-ins while they run; those of kdist_kernel are noted one by one.
SYSCTLS = (
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
)
# A tree with more in it was somebody else's: listing it would cost more than it tells, so it is left alone.
LARGEST_LISTING = 50_000


class Ledger:
    """The ledger below ``root``. Every method that notes something writes it down before it returns."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._directory = self._at(DIRECTORY)
        self._file = self._directory / "ledger.json"

    def _at(self, path: str | Path) -> Path:
        return self._root / str(path).lstrip("/")

    def read(self) -> dict[str, Any] | None:
        """The whole ledger, None when kdist has changed nothing here. ValueError when it cannot be read."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return None
        content: dict[str, Any] = json.loads(text)
        if content.get("format") != FORMAT:
            raise ValueError(f"{self._file} has format {content.get('format')}; this checkout knows {FORMAT}")
        return content

    def begin(self) -> None:
        """Note how the host is, unless that has been done: before anything is changed."""
        with self._changing():
            pass

    def file(self, path: str | Path) -> None:
        """A file is about to be written or removed."""
        name, target = str(path), self._at(path)
        with self._changing() as content:
            if name in content["files"] or self._came_later(content, name):
                return
            content["files"][name] = self._keep(name, target)
            self._directories(content, Path(name).parent)

    def directory(self, path: str | Path) -> None:
        """A directory is about to be made."""
        with self._changing() as content:
            self._directories(content, Path(path))

    def packages(self, before: Mapping[str, str | None]) -> None:
        """Packages are about to be installed: name to the version that is there now, None for none."""
        with self._changing() as content:
            for name, version in before.items():
                content["packages"].setdefault(name, version)

    def images(self, names: Iterable[str]) -> None:
        """Images are about to be imported into containerd."""
        with self._changing() as content:
            content["images"] = sorted({*content["images"], *names})

    def sysctl(self, name: str, before: str) -> None:
        """A sysctl is about to be set."""
        with self._changing() as content:
            content["sysctls"].setdefault(name, before)

    def module(self, name: str) -> None:
        """A kernel module that was not loaded is about to be."""
        with self._changing() as content:
            if name not in content["modules"]:
                content["modules"].append(name)

    def reduce(self, keep: Iterable[str]) -> None:
        """After a reset that kept data: what is left to take away is the trees of ``keep``, as they were at first."""
        with self._changing() as content:
            content["files"], content["packages"], content["images"] = {}, {}, []
            content["directories"], content["modules"] = [], []
            content["kept"] = sorted(keep)

    def remove(self) -> None:
        """Forget everything: nothing of kdist is left."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def saved(self, entry: Mapping[str, Any]) -> Path:
        """Where the former content of a file is kept."""
        return self._directory / "before" / str(entry["saved"])

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        fresh = not self._file.exists()
        # Looked at before our own directory is made: it is in one of the trees.
        content = self.beginning() if fresh else None
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self.read() or content or self.beginning()
            before = json.dumps(content)
            yield content
            if fresh or json.dumps(content) != before:
                _replace(self._file, json.dumps(content, indent=1, sort_keys=True).encode())

    def beginning(self) -> dict[str, Any]:
        """A new ledger of the host as it is now."""
        # An installation by a kdist that kept no ledger: all in the trees is taken for its own.
        adopted = _exists(self._at("/opt/kdist"))
        return {
            "format": FORMAT,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "adopted": adopted,
            "trees": {tree: None if adopted or tree in OWN else _listing(self._at(tree)) for tree in TREES},
            "owners": {
                tree: _owner(self._at(tree)) for tree in TREES if tree not in OWN and self._at(tree).is_dir()
            },
            "links": _links(self._at("/sys/class/net")),
            "mounts": mounts(self._at("/proc/self/mounts")),
            "tables": tables(),
            "runtime": {} if adopted else runtime_unit(),
            "sysctls": {} if adopted else self._sysctls(),
            "files": {},
            "directories": [],
            "packages": {},
            "images": [],
            "modules": [],
        }

    def _sysctls(self) -> dict[str, str]:
        found = {}
        for name in SYSCTLS:
            with contextlib.suppress(OSError):
                found[name] = self._at(f"/proc/sys/{name.replace('.', '/')}").read_text().strip()
        return found

    def _keep(self, name: str, target: Path) -> dict[str, Any] | None:
        if not _exists(target):
            return None
        status = target.lstat()
        entry: dict[str, Any] = {
            "mode": stat.S_IMODE(status.st_mode),
            "uid": status.st_uid,
            "gid": status.st_gid,
        }
        if target.is_symlink():
            return {**entry, "target": str(target.readlink())}
        saved = hashlib.sha256(name.encode()).hexdigest()[:24]
        directory = self._directory / "before"
        directory.mkdir(exist_ok=True, mode=0o700)
        _replace(directory / saved, target.read_bytes())
        return {**entry, "saved": saved}

    def _directories(self, content: dict[str, Any], directory: Path) -> None:
        missing = []
        while not self._at(directory).exists():
            missing.append(str(directory))
            directory = directory.parent
        new = [name for name in missing if name not in content["directories"] and not self._tree_of(name)]
        content["directories"] += reversed(new)

    def _came_later(self, content: dict[str, Any], name: str) -> bool:
        """Whether a file is of a tree in which it was not at the beginning: a reset takes it with the tree."""
        tree = self._tree_of(name)
        listed = (content["trees"].get(tree) or []) if tree else ["*"]
        return "*" not in listed and str(Path(name).relative_to(tree)) not in listed

    def _tree_of(self, name: str) -> str | None:
        return next((tree for tree in TREES if name == tree or name.startswith(tree + "/")), None)


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _listing(tree: Path) -> list[str] | None:
    """What is below a directory, relative to it; None when there is no such directory."""
    if not _exists(tree):
        return None
    found: list[str] = []
    for directory, names, others in os.walk(tree):
        found += [str(Path(directory, name).relative_to(tree)) for name in names + others]
        if len(found) > LARGEST_LISTING:
            return ["*"]
    return sorted(found)


def _owner(path: Path) -> list[int]:
    """Mode, user and group of a directory."""
    status = path.stat()
    return [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid]


def _links(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def mounts(table: Path = Path("/proc/self/mounts")) -> list[str]:
    """Mount points in the order in which they were mounted."""
    if not table.exists():
        return []
    # The kernel writes a space in a path as \040.
    return [line.split()[1].encode().decode("unicode_escape") for line in table.read_text().splitlines()]


def tables() -> list[str]:
    """nftables' tables, as "FAMILY NAME"."""
    nft = shutil.which("nft")
    if nft is None:
        return []
    out = subprocess.run([nft, "list", "tables"], check=False, capture_output=True, text=True).stdout
    return [line.removeprefix("table ").strip() for line in out.splitlines()]


def runtime_unit() -> dict[str, str]:
    """How containerd was before us: empty when it was not there."""
    states = {}
    for question in ("is-enabled", "is-active"):
        command = ["systemctl", question, "containerd.service"]
        try:
            out = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        except FileNotFoundError:
            return {}
        states[question] = out.strip()
    return states if states["is-enabled"] not in ("", "not-found") else {}


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
