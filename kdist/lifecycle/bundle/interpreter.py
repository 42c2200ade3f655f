"""The Python of a host, run on this machine: its byte code is what hosts and images load.

Byte code fits one minor version, and the machine that builds a bundle may have another. The interpreter of the
image's root file system is run in place, through that root's own dynamic loader; no chroot, no root rights.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kdist.lifecycle.bundle.process import run

WORKERS = os.cpu_count() or 1
# What a process has compiled before shows in the references of later byte code: the same shares on every machine.
SHARES = 4
LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


class Interpreter:
    """Python ``version`` (such as 3.11) inside the directories ``roots``, of which the last one holds it."""

    def __init__(self, version: str, libc: Path, root: Path) -> None:
        self.version = version
        self._libc, self._root = libc, root

    def compile(self, tree: Path, installed_at: str) -> None:
        """Write byte code beside every module below ``tree``, which will lie at ``installed_at``.

        Hash-based and unchecked: it is valid whatever the time stamps, and loading never looks at the source.
        """
        entries = sorted(path for path in tree.iterdir() if path.is_dir() or path.suffix == ".py")
        # Not compileall's own workers: they start sys.executable, which knows nothing of this loader.
        shares = [share for share in (entries[n::SHARES] for n in range(SHARES)) if share]
        with ThreadPoolExecutor(WORKERS) as pool:
            for result in [pool.submit(self._compile, share, tree, installed_at) for share in shares]:
                result.result()

    def _compile(self, entries: list[Path], tree: Path, installed_at: str) -> None:
        directories = ("usr/lib/x86_64-linux-gnu", "usr/lib")
        libraries = ":".join(str(base / path) for base in (self._libc, self._root) for path in directories)
        run(
            str(self._libc / LOADER),
            "--library-path",
            libraries,
            str(self._root / f"usr/bin/python{self.version}"),
            *("-s", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(tree), "-p", installed_at, *map(str, entries)),
            # A fixed seed: sets are written in the order of their hashes.
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
                "PYTHONHOME": str(self._root / "usr"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
            },
        )
