"""Addresses and ranges that are taken but should be written otherwise are told of in the words of the level."""

from __future__ import annotations

import pytest

from kdist.api.features import Features
from kdist.apiserver.registry import oddaddresses

OLDER, NEWER = Features.parse("1.32", []), Features.parse("1.33", [])
INVALID = "will be considered invalid in a future Kubernetes release: use"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.12.2.2", []),
        ("2001:db8::2", []),
        ("192.012.2.2", [f'non-standard IP address "192.012.2.2" {INVALID} "192.12.2.2"']),
        ("::ffff:192.12.2.2", [f'non-standard IP address "::ffff:192.12.2.2" {INVALID} "192.12.2.2"']),
        (
            "2001:db8:0::2",
            ['IPv6 address "2001:db8:0::2" should be in RFC 5952 canonical format ("2001:db8::2")'],
        ),
    ],
)
def test_addresses(address: str, told: list[str]) -> None:
    assert oddaddresses.of_addresses([("f", address)], NEWER) == [f"f: {text}" for text in told]


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("192.12.2.0/24", []),
        ("2001:db8::/64", []),
        ("192.12.2.0/024", [f'non-standard CIDR value "192.12.2.0/024" {INVALID} "192.12.2.0/24"']),
        (
            "::ffff:192.12.2.0/120",
            [f'non-standard CIDR value "::ffff:192.12.2.0/120" {INVALID} "192.12.2.0/24"'],
        ),
        (
            "192.012.2.8/24",
            [
                'CIDR value "192.012.2.8/24" is ambiguous in this context (should be "192.12.2.0/24" or '
                '"192.12.2.8/32"?)',
                f'non-standard CIDR value "192.012.2.8/24" {INVALID} "192.12.2.0/24"',
            ],
        ),
        (
            "2001:db8:0::/64",
            ['IPv6 CIDR value "2001:db8:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")'],
        ),
    ],
)
def test_networks(network: str, told: list[str]) -> None:
    assert oddaddresses.of_networks([("f", network)], NEWER) == [f"f: {text}" for text in told]


def test_an_older_level_has_its_own_words() -> None:
    assert oddaddresses.of_addresses([("f", "2001:db8:0::2")], OLDER) == [
        'f: IPv6 address "2001:db8:0::2" is not in RFC 5952 canonical format ("2001:db8::2"), which may cause '
        "controller apply-loops"
    ]
