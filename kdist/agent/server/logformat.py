"""The runtime's log format, and what a client wants to see of a log. Pure.

A line of the file is ``TIME STREAM TAGS CONTENT``; the tag ``P`` marks a part of a line that goes on in the
next one, ``F`` its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kdist.api import meta


class BadOption(ValueError):
    """A query parameter of a log request cannot be understood; the text names it."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions, as far as the node decides: ``tail`` None is everything, ``limit`` is bytes."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit: int | None = None
    since: datetime | None = None
    stream: str = "All"


def read_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """The options in a query. Raises BadOption."""
    return LogOptions(
        follow=flag(query, "follow"),
        timestamps=flag(query, "timestamps"),
        tail=_number(query, "tailLines", least=0),
        limit=_number(query, "limitBytes", least=1),
        since=_since(query, now),
        stream=_stream(query),
    )


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter as clients write it: ``1``, ``true``; absent is false. Raises BadOption."""
    text = query.get(name, "").lower()
    if text in ("", "0", "f", "false"):
        return False
    if text in ("1", "t", "true"):
        return True
    raise BadOption(f"{name}: {text!r} is neither true nor false")


def _number(query: Mapping[str, str], name: str, least: int) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    try:
        number = int(text)
    except ValueError:
        raise BadOption(f"{name}: {text!r} is not a number") from None
    if number < least:
        raise BadOption(f"{name}: must be {least} or more")
    return number


def _since(query: Mapping[str, str], now: datetime) -> datetime | None:
    seconds = _number(query, "sinceSeconds", least=1)
    moment = query.get("sinceTime")
    if seconds is not None and moment:
        raise BadOption("at most one of sinceTime and sinceSeconds may be given")
    if seconds is not None:
        return now - timedelta(seconds=seconds)
    if not moment:
        return None
    try:
        return meta.parse_time(moment)
    except ValueError:
        raise BadOption(f"sinceTime: {moment!r} is not an RFC 3339 time") from None


def _stream(query: Mapping[str, str]) -> str:
    stream = query.get("stream") or "All"
    if stream not in ("All", "Stdout", "Stderr"):
        raise BadOption(f"stream: {stream!r} is none of All, Stdout, Stderr")
    return stream


@dataclass(slots=True)
class LogFilter:
    """Turns pieces of a log file into what the client gets; remembers only what spans two pieces."""

    options: LogOptions
    _rest: bytes = b""
    _line_open: bool = False
    _sent: int = 0
    done: bool = field(default=False)
    """The client's limit is reached; nothing more will come."""

    def feed(self, piece: bytes) -> bytes:
        """The client's bytes for the next piece of the file."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        out = b"".join(part for line in lines for part in self._render(line))
        limit = self.options.limit
        if limit is not None and self._sent + len(out) >= limit:
            out, self.done = out[: limit - self._sent], True
        self._sent += len(out)
        return out

    def _render(self, line: bytes) -> Iterator[bytes]:
        stamp, _, rest = line.partition(b" ")
        stream, _, rest = rest.partition(b" ")
        tags, found, content = rest.partition(b" ")
        if not found or not self._wanted(stamp, stream):
            return
        if self.options.timestamps and not self._line_open:
            yield stamp + b" "
        yield content
        self._line_open = b"P" in tags.split(b":")
        if not self._line_open:
            yield b"\n"

    def _wanted(self, stamp: bytes, stream: bytes) -> bool:
        if self.options.stream != "All" and stream.decode(errors="replace") != self.options.stream.lower():
            return False
        if self.options.since is None:
            return True
        try:
            return _moment(stamp) >= self.options.since
        except ValueError:
            return True  # better a line too many than one lost


def _moment(stamp: bytes) -> datetime:
    """A runtime's time stamp; nanoseconds are cut to microseconds."""
    text = stamp.decode()
    head, dot, tail = text.partition(".")
    if not dot:
        return meta.parse_time(text)
    digits = tail.rstrip("Z")
    zone = ""
    for sign in "+-":
        if sign in digits:
            digits, _, offset = digits.partition(sign)
            zone = sign + offset
    moment = datetime.fromisoformat(f"{head}.{digits[:6].ljust(6, '0')}{zone or '+00:00'}")
    return moment.astimezone(UTC)
