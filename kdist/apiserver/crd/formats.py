"""The string formats that custom resources may ask for; unknown ones hold for every string."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_UNITS = r"ns|nano\w*|us|µs|micro\w*|ms|milli\w*|s|sec\w*|m|min\w*|h|hr\w*|hour\w*|d|day\w*|w|wk\w*|week\w*"
_DURATION = re.compile(rf"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|\d+ *({_UNITS})|0")
_LABEL = r"[^\W_]([^\W_-]|-){0,61}[^\W_]|[^\W_]"
_HOSTNAME = re.compile(rf"({_LABEL})|(({_LABEL})\.)+[^\W\d_]{{2,63}}")  # a dotted name ends with letters
_MAC = re.compile(
    r"([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}(([:-][0-9A-Fa-f]{2}){2}|([:-][0-9A-Fa-f]{2}){14})?)"
    r"|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2}(\.[0-9A-Fa-f]{4}|(\.[0-9A-Fa-f]{4}){7})?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, binascii.Error):
            return False
        return True

    return holds


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value.upper())
    if moment.tzinfo is None or "T" not in value.upper():
        raise ValueError(value)
    return moment


def _uri(value: str) -> None:
    parts = urlsplit(value)
    if not parts.scheme and not value.startswith("/"):
        raise ValueError(value)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _parses(lambda v: base64.b64decode(v, validate=True)),
    "bsonobjectid": _matches(r"[0-9a-fA-F]{24}"),
    "cidr": lambda v: "/" in v and _parses(ipaddress.ip_interface)(v),
    "date": _parses(date.fromisoformat),
    "date-time": _parses(_moment),
    "datetime": _parses(_moment),
    "duration": lambda v: _DURATION.fullmatch(v) is not None,
    "email": lambda v: _EMAIL.fullmatch(v) is not None,
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": lambda v: len(v) <= 253 and _HOSTNAME.fullmatch(v) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "isbn10": _matches(r"(\d[ -]?){9}[\dX]"),
    "isbn13": _matches(r"(\d[ -]?){12}\d"),
    "mac": lambda v: _MAC.fullmatch(v) is not None,
    "rgbcolor": _matches(r"rgb\( *\d{1,3} *, *\d{1,3} *, *\d{1,3} *\)"),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": _parses(_uri),
    "uuid": _parses(uuid.UUID),
    "uuid3": _matches(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
    "uuid4": _matches(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}"),
    "uuid5": _matches(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}"),
}


def holds(format: str, value: str) -> bool:
    """Whether a string has a format."""
    check = _FORMATS.get(format)
    return check is None or check(value)
