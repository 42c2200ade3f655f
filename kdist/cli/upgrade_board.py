"""What an upgrade looks like on a terminal: its steps with state and time, live; lines where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from kdist.lifecycle.operation.journal import Entry, Journal, State

_STYLES = {
    State.PENDING: "dim",
    State.RUNNING: "bold cyan",
    State.DONE: "green",
    State.FAILED: "bold red",
    State.UNDONE: "yellow",
    State.PAUSED: "yellow",
}


def table(entries: Sequence[Entry], notes: dict[str, str] | None = None, title: str = "") -> Table:
    """One row a step. ``notes``: what is being done on a host right now."""
    shown = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in ("step", "state", "time", "what"):
        shown.add_column(column, overflow="fold")
    for entry in entries:
        running = entry.state is State.RUNNING
        note = (notes or {}).get(entry.host or entry.name, "") if running else entry.detail
        what = f"{entry.does}: {note}" if note else entry.does
        style = _STYLES[entry.state]
        shown.add_row(entry.name, f"[{style}]{entry.state}[/]", _seconds(entry), what)
    return shown


def _seconds(entry: Entry) -> str:
    if entry.began is None:
        return ""
    return f"{(entry.ended or time.time()) - entry.began:.0f} s"


class Board:
    """Follows a journal: :meth:`tell` for every change of a step, :meth:`note` for what happens within one."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._notes = journal, dict[str, str]()
        self._console = Console(stderr=True, highlight=False)

    def tell(self, entry: Entry) -> None:
        """A step began or ended."""
        if not self._console.is_terminal:
            told = entry.detail or (entry.does if entry.state is State.RUNNING else "")
            time_taken = "" if entry.state is State.RUNNING else f" {_seconds(entry)}"
            click.echo(f"{entry.name}: {entry.state}{time_taken}{': ' if told else ''}{told}", err=True)

    def note(self, host: str, text: str) -> None:
        """What happens on a host right now."""
        self._notes[host] = text

    def __rich__(self) -> Table:
        return table(self._journal.entries, self._notes)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Live while inside, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(self, console=self._console, refresh_per_second=4):
            yield
