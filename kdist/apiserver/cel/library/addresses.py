"""IP addresses and networks in CIDR notation, in strict forms only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import Opaque

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PREFIX = "network address parse error during conversion from string: "
_BITS = re.compile(r"0|[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class IP(Opaque):
    """An address. ``size`` is that in bytes."""

    cel_type: ClassVar[str] = "net.IP"
    address: Address

    @property
    def size(self) -> int:
        """Bytes."""
        return self.address.max_prefixlen // 8

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class CIDR(Opaque):
    """A network: an address in it and the length of the prefix."""

    cel_type: ClassVar[str] = "net.CIDR"
    address: Address
    bits: int

    @property
    def size(self) -> int:
        """Bytes of the prefix."""
        return -(-self.bits // 8)

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    @property
    def network(self) -> int:
        """The prefix as a number."""
        return int(self.address) >> (self.address.max_prefixlen - self.bits)

    def holds(self, address: Address) -> bool:
        """Whether the address is in the network."""
        width = address.max_prefixlen
        return width == self.address.max_prefixlen and int(address) >> (width - self.bits) == self.network


def _address(given: str) -> Address:
    """EvaluationError for what is no address, has a zone, or is an IPv4 address in IPv6's clothes."""
    try:
        made = ipaddress.ip_address(given)
    except ValueError as error:
        told = f'IP Address "{given}" parse error during conversion from string: ParseAddr("{given}"): '
        told += "unable to parse IP"
        raise EvaluationError(told) from error
    if isinstance(made, ipaddress.IPv6Address):
        if made.scope_id is not None:
            raise EvaluationError(f'IP address "{given}" with zone value is not allowed')
        if made.ipv4_mapped is not None:
            raise EvaluationError(f'IPv4-mapped IPv6 address "{given}" is not allowed')
    return made


def to_ip(value: Any) -> IP:
    """``ip(text)``, or the address of a network."""
    return IP(value.address) if isinstance(value, CIDR) else IP(_address(text(value)))


def to_cidr(value: Any) -> CIDR:
    """``cidr(text)``."""
    given = text(value)
    address, slash, bits = given.rpartition("/")
    wrong = ""
    if not slash:
        wrong = "no '/'"
    elif not _BITS.fullmatch(bits):
        wrong = f'bad bits after slash: "{bits}"'
    elif "%" in address:
        wrong = "IPv6 zones cannot be present in a prefix"
    if wrong:
        raise EvaluationError(f'{_PREFIX}{_PREFIX}netip.ParsePrefix("{given}"): {wrong}')
    try:
        made = CIDR(_address(address), int(bits))
    except EvaluationError as error:
        raise EvaluationError(f"{_PREFIX}{error}") from error
    if made.bits > made.address.max_prefixlen:
        wrong = "prefix length out of range"
        raise EvaluationError(f'{_PREFIX}{_PREFIX}netip.ParsePrefix("{given}"): {wrong}')
    return made


def _parses(parse: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def evaluate(value: Any) -> bool:
        text(value)
        try:
            parse(value)
        except EvaluationError:
            return False
        return True

    return evaluate


_is_ip, _is_cidr = _parses(to_ip), _parses(to_cidr)


def _of(value: Any) -> Address:
    if isinstance(value, IP):
        return value.address
    raise no_such_overload()


def _network(value: Any) -> CIDR:
    if isinstance(value, CIDR):
        return value
    raise no_such_overload()


def contains_ip(network: Any, other: Any) -> bool:
    """Whether an address, or a text of one, is in the network."""
    if not isinstance(other, str):
        return _network(network).holds(_of(other))
    if not _is_ip(other):
        raise no_such_overload()
    return _network(network).holds(_address(other))


def contains_cidr(network: Any, other: Any) -> bool:
    """Whether the whole of another network, or a text of one, is in the network."""
    if isinstance(other, str) and not _is_cidr(other):
        raise no_such_overload()
    outer, inner = _network(network), to_cidr(other) if isinstance(other, str) else _network(other)
    return outer.bits <= inner.bits and outer.holds(inner.address)


def masked(value: Any) -> CIDR:
    """The network with the address that it begins with."""
    network = _network(value)
    shift = network.address.max_prefixlen - network.bits
    return CIDR(type(network.address)(network.network << shift), network.bits)


def _is_global_unicast(value: Any) -> bool:
    address = _of(value)
    others = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not others and str(address) != "255.255.255.255"


def _is_link_local_multicast(value: Any) -> bool:
    address = _of(value)
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 & 0xFF0F == 0xFF02


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ip": to_ip,
    "isIP": _is_ip,
    "ip.isCanonical": lambda value: str(to_ip(text(value))) == value,
    "family": lambda value: _of(value).version,
    "isUnspecified": lambda value: _of(value).is_unspecified,
    "isLoopback": lambda value: _of(value).is_loopback,
    "isLinkLocalMulticast": _is_link_local_multicast,
    "isLinkLocalUnicast": lambda value: _of(value).is_link_local,
    "isGlobalUnicast": _is_global_unicast,
    "cidr": to_cidr,
    "isCIDR": _is_cidr,
    "containsIP": contains_ip,
    "containsCIDR": contains_cidr,
    "prefixLength": lambda value: _network(value).bits,
    "masked": masked,
}
