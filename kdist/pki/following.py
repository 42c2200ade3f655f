"""Things made of files that are replaced under way: certificates, kubeconfigs, bundles of authorities.

:class:`Followed` looks at its files when it is asked for its value, at most once a second: whoever opens a
connection has today's certificate, without a task of its own and without waiting for one. Files that cannot be
used (half of a pair replaced, a truncated write) leave the last good value in force; they are told once and tried
again at every look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from kdist.telemetry import log

_log = log.get(__name__)
T = TypeVar("T")
LOOK_SECONDS = 1.0
Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp:
    """What tells two contents of a path apart; zeros for a file that is not there (it may be under way)."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)


class Followed(Generic[T]):
    """A value and the files it is made of. The first making raises what ``make`` raises."""

    def __init__(
        self,
        make: Callable[[], T],
        files: Iterable[Path] | Callable[[T], Iterable[Path]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``files`` may be a function of the value, for a file that names further ones. ``make`` may raise
        OSError and ValueError (ssl.SSLError is the former) for files that cannot be used."""
        self._make, self._clock = make, clock
        if callable(files):
            self._files = files
        else:
            fixed = tuple(files)
            self._files = lambda _: fixed
        self._listeners: list[Callable[[T], None]] = []
        self._value = make()
        self._seen = self._stamps()
        self._complaint = ""
        self._next_look = clock() + LOOK_SECONDS

    def _stamps(self) -> dict[Path, Stamp]:
        return {path: stamp(path) for path in self._files(self._value)}

    def on_change(self, callback: Callable[[T], None]) -> None:
        """Call back with every new value; for those who hand on what is in the files."""
        self._listeners.append(callback)

    def current(self) -> T:
        """The value of the files as they are."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._value

    def _look(self) -> None:
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            value = self._make()
        except (OSError, ValueError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.warning("changed files are not used yet", files=_told(stamps), error=str(error))
            return
        self._complaint = ""
        self._value = value
        # Not what is there now: it may have changed again while the value was made.
        self._seen = {path: stamps.get(path) or stamp(path) for path in self._files(value)}
        _log.info("loaded changed files", files=_told(stamps))
        for listener in self._listeners:
            listener(value)


def _told(stamps: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in stamps)
