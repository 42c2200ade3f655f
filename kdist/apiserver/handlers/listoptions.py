"""The options of a list or watch (meta.k8s.io ListOptions), read from the query and checked as upstream does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kdist.api import errors
from kdist.api.errors import Cause
from kdist.apiserver.request import Request

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
_MATCH = "resourceVersionMatch"
CausesOf = Callable[["ListOptions"], Iterator[Cause]]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """``version`` is the resourceVersion as text, ``match`` its resourceVersionMatch; ``limit`` 0 means all."""

    version: str = ""
    match: str = ""
    limit: int = 0
    token: str = ""
    initial_events: bool | None = None  # sendInitialEvents
    bookmarks: bool = False
    timeout: int = 0  # seconds, 0: the server's choice

    @property
    def is_exact(self) -> bool:
        """Whether the state at exactly that revision is wanted; a limit with a version means so, too."""
        legacy = not self.match and self.limit > 0 and self.version not in ("", "0")
        return self.match == EXACT or legacy

    @property
    def begins_with_state(self) -> bool:
        """Whether a watch begins with everything there is: asked for, or as watches of no version always did."""
        return self.initial_events is True or (self.initial_events is None and self.version in ("", "0"))


def of_list(request: Request) -> ListOptions:
    """The options of a list. BadRequest for what does not parse, Invalid for what does not go together."""
    return _checked(_read(request), _list_causes)


def of_watch(request: Request) -> ListOptions:
    """The options of a watch. BadRequest, Invalid."""
    return _checked(_read(request), _watch_causes)


def _read(request: Request) -> ListOptions:
    asked = "sendInitialEvents" in request.query
    return ListOptions(
        version=request.param("resourceVersion"),
        match=request.param(_MATCH),
        limit=max(0, request.number("limit") or 0),
        token=request.param("continue"),
        initial_events=request.flag("sendInitialEvents") if asked else None,
        bookmarks=request.flag("allowWatchBookmarks"),
        timeout=max(0, request.number("timeoutSeconds") or 0),
    )


def _checked(options: ListOptions, causes_of: CausesOf) -> ListOptions:
    if causes := list(causes_of(options)):
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)
    return options


def _list_causes(options: ListOptions) -> Iterator[Cause]:
    if options.match:
        if not options.version:
            yield _forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        if options.token:
            yield _forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
        if options.match not in (EXACT, NOT_OLDER):
            yield _unsupported(options.match, EXACT, NOT_OLDER, "")
        if options.match == EXACT and options.version == "0":
            told = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            yield _forbidden(_MATCH, told)
    if options.initial_events is not None:
        yield _forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_causes(options: ListOptions) -> Iterator[Cause]:
    if options.initial_events is not None and options.match != NOT_OLDER:
        told = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER}"
        yield _forbidden(_MATCH, told)
    if options.match:
        if options.initial_events is None:
            told = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            yield _forbidden(_MATCH, told)
        if options.match != NOT_OLDER:
            yield _unsupported(options.match, NOT_OLDER)
        if options.token:
            yield _forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")


def _forbidden(field: str, told: str) -> Cause:
    return Cause(field, f"Forbidden: {told}", "FieldValueForbidden")


def _unsupported(value: str, *supported: str) -> Cause:
    listed = ", ".join(f'"{known}"' for known in supported)
    told = f'Unsupported value: "{value}": supported values: {listed}'
    return Cause(_MATCH, told, "FieldValueNotSupported")
