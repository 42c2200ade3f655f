"""The log backend: one line per event, in a file that is turned over by size and cleaned by age and number.

Several worker processes write the same file: lines are appended whole, and who finds the file too large turns it over
under a lock while the others notice that its name means another file now.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from kdist.apiserver.audit.batching import lost
from kdist.apiserver.audit.events import Event

DEFAULT_MEGABYTES = 100
_DAY = 86400.0


class LogFile:
    """Appends events to ``path``; ``-`` is standard output."""

    def __init__(
        self,
        path: str,
        *,
        legacy: bool = False,
        max_megabytes: int = 0,
        max_days: int = 0,
        max_backups: int = 0,
        compress: bool = False,
    ) -> None:
        if min(max_megabytes, max_days, max_backups) < 0:
            raise ValueError("--audit-log-maxsize, -maxage and -maxbackup can't be negative numbers")
        self._path = Path(path)
        self._legacy, self._compress = legacy, compress
        self._max_bytes = (max_megabytes or DEFAULT_MEGABYTES) * 1024 * 1024
        self._max_days, self._max_backups = max_days, max_backups
        self._fd = sys.stdout.fileno() if path == "-" else self._open()

    @property
    def _is_file(self) -> bool:
        return str(self._path) != "-"

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    async def process(self, events: list[Event]) -> bool:
        """See :class:`kdist.apiserver.audit.batching.Backend`."""
        lines = b"".join((event.legacy() if self._legacy else event.encoded) + b"\n" for event in events)
        try:
            if self._is_file:
                self._make_room(len(lines))
            os.write(self._fd, lines)
        except OSError as error:
            lost("log", len(events), f"{self._path}: {error}")
            return False
        return True

    async def run(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Close the file."""
        if self._is_file:
            os.close(self._fd)

    # ----- turning over

    def _make_room(self, size: int) -> None:
        if not self._is_current():
            self._reopen()
        if os.fstat(self._fd).st_size + size <= self._max_bytes:
            return
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if self._is_current() and os.fstat(self._fd).st_size > 0:
                self._turn_over()
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._reopen()

    def _is_current(self) -> bool:
        """Whether our file still has the name."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._fd)
        return (named.st_ino, named.st_dev) == (ours.st_ino, ours.st_dev)

    def _reopen(self) -> None:
        os.close(self._fd)
        self._fd = self._open()

    def _turn_over(self) -> None:
        now = datetime.now(UTC)
        stamp = f"{now:%Y-%m-%dT%H-%M-%S}.{now.microsecond // 1000:03d}"
        backup = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        self._path.rename(backup)
        if self._compress:
            with backup.open("rb") as plain, gzip.open(f"{backup}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            backup.unlink()
        self._clean()

    def _clean(self) -> None:
        """Remove backups that are too old or too many."""
        found = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}*"), reverse=True)
        oldest = time.time() - self._max_days * _DAY
        for number, backup in enumerate(found):
            too_many = self._max_backups and number >= self._max_backups
            if too_many or (self._max_days and backup.stat().st_mtime < oldest):
                backup.unlink(missing_ok=True)
