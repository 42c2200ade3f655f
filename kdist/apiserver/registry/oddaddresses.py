"""Warnings of addresses and ranges that are taken but not written as they should be; the words are a level's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from kdist.api.features import Features

_ACCEPTED = "was accepted, but will be invalid in a future Kubernetes release"
_INVALID = "will be considered invalid in a future Kubernetes release: use"
_LOOPS = "which may cause controller apply-loops"


def of_addresses(named: Iterable[tuple[str, str]], features: Features) -> list[str]:
    """What to tell of (field, address) pairs."""
    of = _address if features.reached("1.33") else _address_before_1_33
    return [told for field, text in named for told in of(field, text)]


def of_networks(named: Iterable[tuple[str, str]], features: Features) -> list[str]:
    """What to tell of (field, range) pairs."""
    of = _network if features.reached("1.33") else _network_before_1_33
    return [told for field, text in named for told in of(field, text)]


def _address(field: str, text: str) -> Iterator[str]:
    try:
        address = ipaddress.ip_address(_without_zeros(text))
    except ValueError:
        return  # refused, or nothing to improve
    plain = _plain(address)
    if isinstance(plain, ipaddress.IPv4Address):
        if str(plain) != text:
            yield f'{field}: non-standard IP address "{text}" {_INVALID} "{plain}"'
    elif str(plain) != text:
        yield f'{field}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{plain}")'


def _network(field: str, text: str) -> Iterator[str]:
    host, _, length = text.partition("/")
    try:
        address = ipaddress.ip_address(_without_zeros(host))
        plain, bits = _plain(address), int(length)
        if plain.version != address.version and bits >= 96:  # an IPv4 range in IPv6's words
            bits -= 96
        network = ipaddress.ip_network(f"{plain}/{bits}", strict=False)
    except ValueError:
        return
    if network.network_address != plain:
        alone = f"{plain}/{plain.max_prefixlen}"
        told = f'CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{alone}"?)'
        yield f"{field}: {told}"
    if plain.version != address.version or host != _without_zeros(host) or length != str(bits):
        yield f'{field}: non-standard CIDR value "{text}" {_INVALID} "{network}"'
    elif plain.version == 6 and f"{plain}/{bits}" != text:
        told = f'IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{plain}/{bits}")'
        yield f"{field}: {told}"


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that is written as one of IPv6 is one of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_zeros(text: str) -> str:
    """An IPv4 address whose octets have no zeros in front."""
    octets = text.split(".")
    plain = ":" not in text and all(octet.isdigit() for octet in octets)
    return ".".join(octet.lstrip("0") or "0" for octet in octets) if plain else text


def _address_before_1_33(field: str, text: str) -> Iterator[str]:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        yield f'{field}: IP address {_ACCEPTED}: ParseAddr("{text}"): {_unreadable(text)}'
        return
    if ip.version == 6 and str(ip) != text:
        yield f'{field}: IPv6 address "{text}" is not in RFC 5952 canonical format ("{ip}"), {_LOOPS}'


def _network_before_1_33(field: str, text: str) -> Iterator[str]:
    host, _, length = text.partition("/")
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return
    if ip.version == 6 and str(ip) != host:
        told = f'IPv6 prefix "{text}" is not in RFC 5952 canonical format ("{ip}/{length}"), {_LOOPS}'
        yield f"{field}: {told}"


def _unreadable(address: str) -> str:
    """Why a text is no address, as Go's parser tells it."""
    first = next((letter for letter in address if letter in ".:%"), "")
    if first != ".":
        return "unable to parse IP"
    odd = next((at for at, letter in enumerate(address) if letter not in "0123456789."), None)
    if odd is not None:
        return f'unexpected character (at "{address[odd:]}")'
    octets = address.split(".")
    if any(len(octet) > 1 and octet.startswith("0") for octet in octets):
        return "IPv4 field has octet with leading zero"
    if any(octet and int(octet) > 255 for octet in octets):
        return "IPv4 field has value >255"
    return "IPv4 address too short" if len(octets) < 4 else "IPv4 address too long"
