"""Tables of ``kdist bundle``: what two bundles differ in, what a bundle is made of."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from kdist.lifecycle.bundle.diff import Difference
from kdist.lifecycle.bundle.sbom import Line

COLOURS = {"added": "green", "removed": "red", "changed": "yellow", "rebuilt": "blue"}


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def difference(found: Difference, console: Console) -> None:
    """One row a change, then what must travel."""
    if found.changes:
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("", "KIND", "NAME", "FOR", "BEFORE", "AFTER"):
            table.add_column(column, overflow="fold")
        table.add_column("SIZE", justify="right")
        for change in found.changes:
            table.add_row(
                f"[{COLOURS[change.action]}]{change.action}[/]",
                change.kind,
                change.name,
                change.place,
                change.before or "",
                change.after or "",
                megabytes(change.size),
            )
        console.print(table)
    else:
        console.print("the same packages, wheels and images")
    travels = sum(found.travels.values())
    console.print(
        f"{found.before} → {found.after}: {len(found.travels)} new file(s), {megabytes(travels)} of "
        f"{megabytes(found.total)}, and manifest and signature must travel",
        soft_wrap=True,
    )


def materials(lines: Iterable[Line], console: Console) -> None:
    """One row a component."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("KIND", "NAME", "VERSION", "LICENCE", "SHA-256"):
        table.add_column(column, overflow="ellipsis" if column == "SHA-256" else "fold")
    for line in lines:
        silent = "those of its parts" if line.kind == "image" else "not stated"
        table.add_row(line.kind, line.name, line.version, line.licence or silent, line.sha256[:12])
    console.print(table)
