"""Registry mirrors: every accepted form means one plain thing, everything else is refused with its registry."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kdist.lifecycle import registries, spec


def authority() -> str:
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]),
    )
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start.replace(year=2027))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_url_a_mapping_and_a_list_are_accepted() -> None:
    ca = authority()
    given = {
        "docker.io": "https://mirror.example/",
        "registry.example:5000": [{"url": "https://10.0.0.5", "ca": ca}, "http://10.0.0.6:5000"],
        "*": "http://[fd00::1]:5000",
    }
    assert registries.mirrors(given) == {
        "docker.io": [{"url": "https://mirror.example", "ca": ""}],
        "registry.example:5000": [
            {"url": "https://10.0.0.5", "ca": ca},
            {"url": "http://10.0.0.6:5000", "ca": ""},
        ],
        "*": [{"url": "http://[fd00::1]:5000", "ca": ""}],
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["docker.io"], "must be a mapping of registry to mirrors"),
        ({"https://docker.io": "http://m"}, "'https://docker.io' is no registry"),
        ({"../etc": "http://m"}, "is no registry"),
        ({"docker.io": []}, "docker.io has no mirror"),
        ({"docker.io": "mirror:5000"}, "docker.io: 'mirror:5000' is no URL"),
        ({"docker.io": "http://u:p@m"}, "is no URL such as"),
        ({"docker.io": "http://m:99999"}, "is no URL such as"),
        ({"docker.io": 'http://m"]\nserver="x'}, "is no URL such as"),
        ({"docker.io": "http://m/v2/x"}, "has a path"),
        ({"docker.io": ["http://m", "http://m/"]}, "names a mirror twice"),
        ({"docker.io": {"url": "http://m", "skip": True}}, "a mirror is a URL, or a mapping of url and ca"),
        ({"docker.io": {"url": "https://m", "ca": "x"}}, "docker.io: ca is no certificate"),
    ],
)
def test_what_cannot_work_is_refused_with_its_registry(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match="(?s).*" + told.replace("(", r"\(")):
        registries.mirrors(given)


def test_the_cluster_file_names_the_key() -> None:
    variables = {"ansible_host": "10.0.0.1", "kdist_registry_mirrors": {"docker.io": "mirror"}}
    _, problems = spec.read({"cp1": variables}, {"kube_control_plane": ["cp1"]})
    assert [str(p) for p in problems] == [
        "all: kdist_registry_mirrors: docker.io: 'mirror' is no URL such as https://mirror.example:5000"
    ]


def test_a_bundle_key_of_the_cluster_file_must_be_one() -> None:
    variables = {"ansible_host": "10.0.0.1", "kdist_bundle_key": "secret"}
    _, problems = spec.read({"cp1": variables}, {"kube_control_plane": ["cp1"]})
    assert "all: kdist_bundle_key: is no Ed25519 public key" in str(problems[0])
