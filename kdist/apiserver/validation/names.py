"""The grammars of names, labels and ports. Each rule returns the complaints about a text, none when it is fine."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TypeVar, cast

Rule = Callable[[str], list[str]]
_Rule = TypeVar("_Rule", bound=Rule)

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_PART}[\./])*{_SYSCTL_PART}"

_COMPILED = {
    text: re.compile(text)
    for text in (_LABEL, _SUBDOMAIN, _WILDCARD, _LABEL_1035, _QUALIFIED, _LABEL_VALUE, _CONFIG_KEY, _ENV_NAME)
}


_REMEMBERED = 4096  # texts per rule
_REMEMBERED_LENGTH = 253


def _remembering(rule: _Rule) -> _Rule:
    """The rule with a memory for texts that passed: the same few keys and values come with every object."""
    fine: set[str] = set()

    @functools.wraps(rule)
    def check(text: str) -> list[str]:
        if text in fine:
            return []
        complaints = rule(text)
        if not complaints and len(text) <= _REMEMBERED_LENGTH:
            if len(fine) >= _REMEMBERED:
                fine.clear()
            fine.add(text)
        return complaints

    return cast(_Rule, check)


def _matching(text: str, pattern: str, told: str, *examples: str) -> list[str]:
    if _COMPILED[pattern].fullmatch(text):
        return []
    shown = "e.g. " + " or ".join(f"'{e}', " for e in examples)
    return [f"{told} ({shown}regex used for validation is '{pattern}')"]


def _too_long(text: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} characters"] if len(text) > limit else []


@_remembering
def dns_label(text: str) -> list[str]:
    """RFC 1123 label: namespaces, ports, containers."""
    told = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
        "and end with an alphanumeric character"
    )
    return [*_too_long(text, 63), *_matching(text, _LABEL, told, "my-name", "123-abc")]


def dns_label_of_host(text: str) -> list[str]:
    """A label where dots are a likely mistake."""
    return ["must not contain dots"] if "." in text else dns_label(text)


def dns_subdomain(text: str) -> list[str]:
    """RFC 1123 subdomain: the names of most objects."""
    told = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
        "start and end with an alphanumeric character"
    )
    return [*_too_long(text, 253), *_matching(text, _SUBDOMAIN, told, "example.com")]


def wildcard_subdomain(text: str) -> list[str]:
    """A subdomain whose first label is ``*``: hosts of Ingresses."""
    told = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
        "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return [*_too_long(text, 253), *_matching(text, _WILDCARD, told, "*.example.com")]


def dns_1035_label(text: str) -> list[str]:
    """RFC 1035 label: Services."""
    told = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character"
    )
    return [*_too_long(text, 63), *_matching(text, _LABEL_1035, told, "my-name", "abc-123")]


def path_segment(text: str) -> list[str]:
    """Anything that fits one segment of a URL path: RBAC objects."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in text]


@_remembering
def qualified_name(text: str) -> list[str]:
    """Label keys, annotation keys, finalizers, resource names: ``prefix/name`` with an optional prefix."""
    prefix, slash, name = text.rpartition("/")
    complaints = []
    told = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character"
    )
    examples = ("MyName", "my.name", "123-abc")
    if "/" in prefix:
        whole = f"a qualified name {told}"
        wrong = _matching("/", _QUALIFIED, whole, *examples)
        return [
            f"{wrong[0]} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ]
    if slash and not prefix:
        complaints.append("prefix part must be non-empty")
    elif slash:
        complaints += [f"prefix part {c}" for c in dns_subdomain(prefix)]
    if not name:
        complaints.append("name part must be non-empty")
    complaints += [f"name part {c}" for c in _too_long(name, 63)]
    return complaints + _matching(name, _QUALIFIED, f"name part {told}", *examples)


@_remembering
def label_value(text: str) -> list[str]:
    """The value of a label."""
    told = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
        "start and end with an alphanumeric character"
    )
    return [*_too_long(text, 63), *_matching(text, _LABEL_VALUE, told, "MyValue", "my_value", "12345")]


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret: a file name."""
    told = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    examples = ("key.name", "KEY_NAME", "key-name")
    complaints = [*_too_long(text, 253), *_matching(text, _CONFIG_KEY, told, *examples)]
    if text in (".", ".."):
        complaints.append(f"must not be '{text}'")
    elif text.startswith(".."):
        complaints.append("must not start with '..'")
    return complaints


@_remembering
def env_name(text: str) -> list[str]:
    """The name of an environment variable: printable ASCII without ``=``."""
    if not text or any(not " " <= char <= "~" or char == "=" for char in text):
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        ]
    return []


def sysctl_name(text: str) -> list[str]:
    """The name of a kernel parameter, its parts separated by dots or slashes."""
    if len(text) <= 253 and re.fullmatch(_SYSCTL, text):
        return []
    return [f"must have at most 253 characters and match regex ^{_SYSCTL}$"]


def port_number(number: int) -> list[str]:
    """A TCP, UDP or SCTP port."""
    return [] if 1 <= number <= 65535 else ["must be between 1 and 65535, inclusive"]


@_remembering
def port_name(text: str) -> list[str]:
    """The IANA service name of a container port."""
    complaints = []
    if len(text) > 15:
        complaints.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", text):
        complaints.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        complaints.append("must contain at least one letter (a-z)")
    if "--" in text:
        complaints.append("must not contain consecutive hyphens")
    if text[:1] == "-" or text[-1:] == "-":
        complaints.append("must not begin or end with a hyphen")
    return complaints


def generated(rule: Rule) -> Rule:
    """The rule for a generateName: what is added to it may end the name properly."""
    return lambda prefix: rule(prefix[:-1] + "a" if prefix.endswith("-") else prefix)
