"""What is wrong with an address, or a range of them, that traffic of others may go to."""

from __future__ import annotations

import ipaddress
import re

from kdist.api.errors import Cause
from kdist.apiserver.validation import causes

_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_LENGTH = re.compile(r"/(0|[1-9][0-9]*)")


def special_address(text: str, field: str) -> list[Cause]:
    """Causes for an address that means the host itself, or its own links."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return [causes.invalid(field, text, "must be a valid IP address")]
    found: list[Cause] = []
    for wrong, told in (
        (address.is_unspecified, f"may not be unspecified ({text})"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (
            any(address in network for network in _LINK_LOCAL_MULTICAST),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ):
        if wrong:
            found.append(causes.invalid(field, text, told))
    return found


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The range that a text means, None when it means none; a mask is no length of a prefix."""
    _, slash, _ = text.partition("/")
    if not slash or not _LENGTH.fullmatch(text[text.index("/") :]):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def check_cidr(field: str, text: str) -> list[Cause]:
    """A cause when the text is no range of addresses."""
    told = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return [] if network(text) is not None else [causes.invalid(field, text, told)]
