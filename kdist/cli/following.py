"""Progress of a playbook run on the terminal: the task that runs and how many hosts have done it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from kdist.lifecycle.operation.runner import Event


@contextmanager
def following(what: str, hosts: int) -> Iterator[Callable[[Event], None]]:
    """A bar on standard error while the block runs; nothing where that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=hosts)

        def on_event(event: Event) -> None:
            if event.kind == "task":
                name = event.task.split(" : ", 1)[-1]  # without that of its role
                progress.update(bar, description=f"{what}: {name}", completed=0)
            elif event.host:
                progress.advance(bar)

        yield on_event
