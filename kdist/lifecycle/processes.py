"""Processes of a host as /proc tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """``started``: seconds since the epoch."""

    name: str
    command: tuple[str, ...]
    started: float


def processes(root: Path = Path("/")) -> Iterator[Process]:
    """Every process there is; one that ends meanwhile is left out."""
    proc = root / "proc"
    for directory in proc.iterdir():
        if directory.name.isdigit() and (found := _read(directory)) is not None:
            yield found


def _read(directory: Path) -> Process | None:
    try:
        name = (directory / "comm").read_text().strip()
        command = _arguments(directory)
        ticks = int((directory / "stat").read_text().rpartition(")")[2].split()[19])
        lines = (directory.parent / "stat").read_text().splitlines()
    except OSError:
        return None
    boot = next(float(line.split()[1]) for line in lines if line.startswith("btime"))
    # btime is cut to whole seconds
    return Process(name, command, boot + 1 + ticks / os.sysconf("SC_CLK_TCK"))


def _arguments(directory: Path) -> tuple[str, ...]:
    try:
        content = (directory / "cmdline").read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(part.decode(errors="replace") for part in content.split(b"\0")[:-1])
