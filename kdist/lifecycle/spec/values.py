"""What the keys of a cluster file take: each converter gives a value in its one form, or raises :class:`Invalid`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from kdist.api import runtimeconfig
from kdist.api.resources import builtin_resources
from kdist.lifecycle import registries
from kdist.lifecycle.bundle import signature

AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca")
KNOWN_ADDONS = ("net", "proxy", "dns", "csi-local")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


class Invalid(ValueError):
    """A value that its key does not take; the text is the reason."""


def text(value: Any) -> str:
    """Any text but the empty one."""
    if not isinstance(value, str) or not value:
        raise Invalid(f"must be a non-empty string, not {value!r}")
    return value


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number from ``low`` to ``high``."""

    def convert(value: Any) -> int:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Invalid(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return convert


def truth(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Invalid(f"must be true or false, not {value!r}")
    return value


def networks(value: Any) -> str:
    """An IPv4 network, or one of IPv4 and one of IPv6 with a comma between, as the components' flags take them."""
    try:
        found = [ipaddress.ip_network(part.strip()) for part in text(value).split(",")]
    except Invalid:
        raise
    except ValueError as error:
        raise Invalid(f"must be a network such as 10.244.0.0/16: {error}") from None
    return _families([n.version for n in found], [str(n) for n in found], "network")


def addresses(value: Any) -> str:
    """An IP address, or one of IPv4 and one of IPv6 with a comma between."""
    try:
        found = [ipaddress.ip_address(part.strip()) for part in text(value).split(",")]
    except Invalid:
        raise
    except ValueError:
        raise Invalid(f"must be an IP address, not {value!r}") from None
    if len(found) == 1:
        return str(found[0])
    return _families([a.version for a in found], [str(a) for a in found], "address")


def _families(versions: list[int], texts: list[str], what: str) -> str:
    if versions not in ([4], [4, 6]):
        two = f"an IPv4 and an IPv6 {what} in this order, with a comma between (dual stack)"
        raise Invalid(f"must be an IPv4 {what}, or {two}, not {', '.join(texts)}")
    return ",".join(texts)


def address(value: Any) -> str:
    """An IP address."""
    try:
        return str(ipaddress.ip_address(text(value)))
    except ValueError:
        raise Invalid(f"must be an IP address, not {value!r}") from None


def is_domain(name: str) -> bool:
    """Whether a name is DNS labels with dots between."""
    return all(_DNS_LABEL.match(label) for label in name.split("."))


def domain(value: Any) -> str:
    """A DNS domain in lower case."""
    if not is_domain(text(value)):
        raise Invalid(f"must be a DNS domain in lower case, not {value!r}")
    return str(value)


def choice(*allowed: str) -> Callable[[Any], str]:
    """One of the ``allowed`` words."""

    def convert(value: Any) -> str:
        if str(value) not in allowed:
            raise Invalid(f"must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    return convert


def port_range(value: Any) -> str:
    """A range of ports."""
    low, _, high = text(value).partition("-")
    if not (low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high) <= 65535):
        raise Invalid(f"must be a range of ports such as 30000-32767, not {value!r}")
    return str(value)


def public_key(value: Any) -> str:
    """The line of a public key that signs bundles."""
    try:
        return signature.line_of(signature.parse_key(text(value)))
    except ValueError as error:
        raise Invalid(str(error)) from None


def registry_mirrors(value: Any) -> Mapping[str, Any]:
    """Registries to where their images come from."""
    try:
        return registries.mirrors(value)
    except ValueError as error:
        raise Invalid(str(error)) from None


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list | tuple):
        raise Invalid(f"must be a list, not {value!r}")
    return tuple(text(item) for item in value)


def token(value: Any) -> str:
    """A bootstrap token."""
    if not re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", text(value)):
        raise Invalid("must be a bootstrap token as `kdist token create` prints it, abcdef.0123456789abcdef")
    return str(value)


def authority_hash(value: Any) -> str:
    """The hash of an authority's key."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text(value)):
        raise Invalid(f"must be sha256: and 64 hexadecimal digits, not {value!r}")
    return str(value)


def addons(value: Any) -> tuple[str, ...]:
    """Known add-ons."""
    if unknown := sorted(set(texts(value)) - set(KNOWN_ADDONS)):
        raise Invalid(f"unknown add-on {', '.join(unknown)}; known are {', '.join(KNOWN_ADDONS)}")
    return tuple(value)


def resources(value: Any) -> tuple[str, ...]:
    """Resources that are encrypted at rest."""
    found = texts(value)
    for name in found:
        if not re.fullmatch(r"(\*|[a-z][a-z0-9]*)(\.(\*|[a-z0-9.-]*))?", name) or name == "*":
            raise Invalid(f"{name!r} is no resource: secrets, deployments.apps, *.apps, or *.* for all")
    if len(set(found)) != len(found):
        raise Invalid("names a resource twice")
    return found


def calendar(value: Any) -> str:
    """When a timer of systemd fires."""
    # systemd judges it in the end, on the host; this catches what cannot be one.
    if not re.fullmatch(r"[A-Za-z0-9*/.,:~ -]+", text(value)):
        raise Invalid(
            f"must be 'never' or a calendar event of systemd such as hourly or '*-*-* 00/6:00', not {value!r}"
        )
    return str(value)


def directory(value: Any) -> str:
    """An absolute path."""
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", text(value)) or ".." in str(value).split("/"):
        raise Invalid(f"must be an absolute path below /, without spaces, not {value!r}")
    return str(value)


def labels(value: Any) -> dict[str, str]:
    """Labels with their values."""
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a mapping of label to value, not {value!r}")
    return {text(name): str(content) for name, content in value.items()}


def taints(value: Any) -> tuple[str, ...]:
    """Taints as nodes register with them."""
    for taint in texts(value):
        if not re.fullmatch(r"[^=:]+(=[^=:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)", taint):
            raise Invalid(f"{taint!r} is not of the form key[=value]:NoSchedule|PreferNoSchedule|NoExecute")
    return tuple(value)


def duration(least: timedelta) -> Callable[[Any], int]:
    """Seconds of a duration such as 8760h, 365d or 90m."""

    def convert(value: Any) -> int:
        matched = re.fullmatch(r"([1-9][0-9]*)([dhm])", str(value))
        if not matched:
            raise Invalid(f"must be a duration such as 365d, 8760h or 90m, not {value!r}")
        unit = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}[matched[2]]
        if (span := int(matched[1]) * unit) < least:
            raise Invalid(f"must be at least {int(least.total_seconds() // 60)}m, not {value}")
        return int(span.total_seconds())

    return convert


def authorities(value: Any) -> dict[str, dict[str, str]]:
    """Name of an authority to the files of its certificate and key."""
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a mapping of authority to its files, not {value!r}")
    for name, pair in value.items():
        if name not in AUTHORITIES:
            raise Invalid(f"unknown authority {name!r}; known are {', '.join(AUTHORITIES)}")
        if not isinstance(pair, Mapping) or set(pair) != {"certificate", "key"}:
            raise Invalid(f"{name} must have certificate and key, the paths of two files")
    return {name: {what: text(path) for what, path in pair.items()} for name, pair in value.items()}


def switches(value: Any) -> dict[str, bool]:
    """Names to true or false."""
    if not isinstance(value, Mapping) or not all(isinstance(state, bool) for state in value.values()):
        raise Invalid(f"must be a mapping of name to true or false, not {value!r}")
    return {text(name): state for name, state in value.items()}


def served(value: Any) -> dict[str, bool]:
    """Groups and versions to true or false."""
    states = switches(value)
    try:
        runtimeconfig.Enabled.parse(pairs(states), builtin_resources())
    except ValueError as error:
        raise Invalid(str(error).removeprefix("runtime-config ")) from None
    return states


def pairs(switches: Mapping[str, bool] | None) -> list[str]:
    """``NAME=true|false`` texts, as the components' flags take them."""
    return [f"{name}={str(state).lower()}" for name, state in sorted((switches or {}).items())]
