"""Reading and following a container's log file, across rotation, until the container is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

from kdist.agent.server.logformat import LogFilter, LogOptions

_PIECE = 64 * 1024
# How often a follower that has read everything looks again: quick to the eye, and nothing to the CPU.
LOOK_EVERY = 0.1


async def read(path: Path, options: LogOptions, running: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """The log as the client wants it. ``running`` tells whether the container may still write.

    Raises FileNotFoundError when there is no log.
    """
    shown = LogFilter(options)
    file = path.open("rb", buffering=0)
    try:
        if options.tail is not None:
            file.seek(_tail_offset(file, options.tail))
        while not shown.done:
            # Asked before reading: what was written before the container ended is read still.
            last_look = not (options.follow and running())
            while not shown.done and (piece := file.read(_PIECE)):
                if out := shown.feed(piece):
                    yield out
            if _replaced(file, path):
                file.close()
                file = path.open("rb", buffering=0)
            elif last_look:
                return
            else:
                await asyncio.sleep(LOOK_EVERY)
    finally:
        file.close()


def _replaced(file: BinaryIO, path: Path) -> bool:
    """Whether the log was rotated: another file is at its path now."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False  # between the two steps of a rotation, or removed with its container


def _tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` lines begin; the file is read backwards as far as needed."""
    position = file.seek(0, os.SEEK_END)
    if lines == 0:
        return position
    missing = lines + 1  # the newline before the first wanted line is looked for too
    if position and _at(file, position - 1, 1) != b"\n":
        missing -= 1  # the last line is still being written
    while position > 0:
        size = min(_PIECE, position)
        position -= size
        block = _at(file, position, size)
        newline = len(block)
        while (newline := block.rfind(b"\n", 0, newline)) >= 0:
            missing -= 1
            if missing == 0:
                return position + newline + 1
    return 0


def _at(file: BinaryIO, position: int, size: int) -> bytes:
    return os.pread(file.fileno(), size, position)
