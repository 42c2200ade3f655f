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

_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|\d+ *(ns|us|ms|s|m|h|d|w)|0")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, binascii.Error):
            return False
        return True

    return holds


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None or "T" not in value.upper():
        raise ValueError(value)
    return moment


def _uri(value: str) -> None:
    parts = urlsplit(value)
    if not parts.scheme and not value.startswith("/"):
        raise ValueError(value)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _parses(lambda v: base64.b64decode(v, validate=True)),
    "cidr": _parses(ipaddress.ip_interface),
    "date": _parses(date.fromisoformat),
    "date-time": _parses(_moment),
    "datetime": _parses(_moment),
    "duration": lambda v: _DURATION.fullmatch(v) is not None,
    "email": lambda v: _EMAIL.fullmatch(v) is not None,
    "hostname": lambda v: len(v) <= 253 and _HOSTNAME.fullmatch(v) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "uri": _parses(_uri),
    "uuid": _parses(uuid.UUID),
}


def holds(format: str, value: str) -> bool:
    """Whether a string has a format."""
    check = _FORMATS.get(format)
    return check is None or check(value)
