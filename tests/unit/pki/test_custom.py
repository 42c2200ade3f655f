"""Authorities that an operator brings: what is refused, and in which words."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kdist.pki import custom, issue, plan
from kdist.pki.issue import Pair

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
GOOD = issue.create_authority(plan.CLUSTER_CA)


def made(
    *,
    ca: bool = True,
    sign: bool = True,
    begin: datetime.timedelta = -DAY,
    end: datetime.timedelta = 999 * DAY,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=corporate")
    usage = x509.KeyUsage(True, False, False, False, False, sign, False, False, False)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW + begin).not_valid_after(NOW + end)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), True).add_extension(usage, True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return Pair(pem, private(key))


def private(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, secret: bytes = b""
) -> bytes:
    encryption = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_roots_and_intermediates_are_taken() -> None:
    assert custom.faults(GOOD, NOW) == []
    assert custom.faults(issue.create_intermediate(plan.ETCD_CA, GOOD), NOW) == []


def test_the_issuers_of_an_authority_may_follow_it_and_only_it_is_used() -> None:
    upper = issue.create_intermediate(plan.ETCD_CA, GOOD)
    mine = issue.create_intermediate(plan.CLUSTER_CA, upper)
    chain = mine.certificate + upper.certificate + GOOD.certificate
    assert custom.faults(Pair(chain, mine.key), NOW) == []
    assert custom.authority(chain) == mine.certificate
    swapped = Pair(GOOD.certificate + mine.certificate, mine.key)
    assert "put the authority's own first" in custom.faults(swapped, NOW)[0]


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (made(ca=False), "basicConstraints do not say CA:TRUE"),
        (made(sign=False), "keyUsage lacks keyCertSign"),
        (made(begin=DAY), "valid only from"),
        (made(end=-DAY / 2), "it ended on"),
        (made(end=10 * DAY), "in less than 30 days"),
        (Pair(GOOD.certificate, made().key), "do not belong together"),
        (Pair(GOOD.certificate, b"no key"), "cannot be read as a PEM private key"),
        (Pair(b"no certificate", GOOD.key), "cannot be read as PEM"),
        (
            Pair(GOOD.certificate + made().certificate, GOOD.key),
            "certificate 2 of the file (CN=corporate) did not issue",
        ),
        (Pair(GOOD.certificate, private(ed25519.Ed25519PrivateKey.generate())), "use RSA or ECDSA"),
        (
            Pair(GOOD.certificate, private(ec.generate_private_key(ec.SECP256R1()), b"pass")),
            "without a passphrase",
        ),
    ],
)
def test_what_cannot_issue_is_refused_with_its_reason(pair: Pair, told: str) -> None:
    assert told in "; ".join(custom.faults(pair, NOW))


def test_every_fault_is_told_at_once() -> None:
    pair = made(ca=False, sign=False, end=-DAY / 2)
    assert len(custom.faults(Pair(pair.certificate, GOOD.key), NOW)) == 4
