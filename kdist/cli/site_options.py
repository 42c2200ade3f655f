"""Options of the commands that work on a cluster from the operator's machine."""

from __future__ import annotations

from pathlib import Path

import click

INVENTORY = click.option(
    "--inventory",
    "-i",
    type=click.Path(exists=True, path_type=Path),
    default="inventory/lab",
    show_default=True,
)
