"""One mechanism for every component's settings: a frozen dataclass is the command line.

A settings class is a frozen, keyword-only dataclass whose fields are made with :func:`option`. The flag of
field ``etcd_servers`` is ``--etcd-servers``; flags carry upstream's names wherever upstream has the flag, so
that what an operator knows still holds. A ``tuple[str, ...]`` field takes a comma-separated list.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

S = TypeVar("S")


def option(default: Any = dataclasses.MISSING, *, help: str) -> Any:
    """A settings field: ``help`` gives the unit, the reason for the default and what None means."""
    return dataclasses.field(default=default, metadata={"help": help})


class CommaSeparated(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of strings; the empty string is the empty list."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The parsed tuple, or the value itself when it is one already."""
        if isinstance(value, tuple):
            return value
        return tuple(part for part in (p.strip() for p in str(value).split(",")) if part)


def _click_type(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is tuple:
        return CommaSeparated()
    if hint is Path:
        return click.Path(path_type=Path)
    return {str: click.STRING, int: click.INT, float: click.FLOAT, bool: click.BOOL}[hint]


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command line, by the type of its values."""

    values: click.ParamType[Any]

    def fault(self, text: str) -> str | None:
        """What is wrong with a value; None when nothing is."""
        try:
            self.values.convert(text, None, None)
        except click.BadParameter as error:
            return error.message
        return None


def flags(cls: type[Any]) -> dict[str, Flag]:
    """Name without dashes → flag, of a settings class."""
    hints = get_type_hints(cls)
    return {name_of(field): Flag(_click_type(hints[field.name])) for field in dataclasses.fields(cls)}


def name_of(field: dataclasses.Field[Any]) -> str:
    """The flag of a field, without dashes in front."""
    return field.name.replace("_", "-")


def settings_options(cls: type[S]) -> Callable[[Callable[[S], Any]], Callable[..., Any]]:
    """A decorator that gives a click command one flag per field and passes it the settings object.

    Usage errors (unknown flag, wrong type, missing required flag) are click's: exit code 2 and the flag.
    """
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # any dataclass; not expressible as a bound

    def decorate(run: Callable[[S], Any]) -> Callable[..., Any]:
        def callback(**values: Any) -> Any:
            return run(cls(**values))

        callback.__name__, callback.__doc__ = run.__name__, run.__doc__
        wrapped: Callable[..., Any] = callback
        for field in reversed(fields):
            required = field.default is dataclasses.MISSING
            wrapped = click.option(
                "--" + name_of(field),
                field.name,
                type=_click_type(hints[field.name]),
                required=required,
                default=None if required else field.default,
                show_default=not required,
                help=field.metadata["help"],
            )(wrapped)
        return wrapped

    return decorate
