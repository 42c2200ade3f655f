"""Bootstrap tokens sign and expire; generated service-account tokens that nobody uses go in two steps."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from kdist.controllers.bootstraptokens import token as tokens
from kdist.controllers.bootstraptokens.signer import signed
from kdist.controllers.serviceaccount.legacycleaner import secrets_of, verdict
from kdist.controllers.serviceaccount.tokens import believed, is_outlived, sign
from kdist.pki import files, jws, plan
from kdist.pki.rotation import TOKENS, Exchange, Phase

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def secret(identity: str = "abcdef", value: str = "0123456789abcdef", **data: str) -> dict[str, Any]:
    given = {"token-id": identity, "token-secret": value, "usage-bootstrap-signing": "true", **data}
    encoded = {k.replace("_", "-"): base64.b64encode(v.encode()).decode() for k, v in given.items()}
    metadata = {"name": f"bootstrap-token-{identity}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": tokens.TYPE, "data": encoded}


def test_a_signature_is_the_one_that_joining_hosts_compute() -> None:
    token = tokens.Token("abcdef", "0123456789abcdef" * 2, signs=True, expires=None)
    header, detached, signature = tokens.sign("clusters: []", token).split(".")
    assert detached == ""
    # Compared as text by joining hosts: not a byte may differ.
    assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"HS256","kid":"abcdef"}'
    payload = base64.urlsafe_b64encode(b"clusters: []").rstrip(b"=").decode()
    whole = jwt.PyJWS().decode(f"{header}.{payload}.{signature}", token.secret, algorithms=["HS256"])
    assert whole == b"clusters: []"


def test_the_map_has_one_signature_per_token_that_signs() -> None:
    holders = [tokens.read(secret("abcdef")), tokens.read(secret("ghijkl", usage_bootstrap_signing="false"))]
    found = [token for token in holders if token]
    data = signed({"kubeconfig": "x", "jws-kubeconfig-gone00": "old"}, found, NOW)
    assert data is not None
    assert sorted(data) == ["jws-kubeconfig-abcdef", "kubeconfig"]
    assert signed(data, found, NOW) == data
    assert signed({"other": "x"}, found, NOW) is None


@pytest.mark.parametrize(
    ("expiration", "expired"),
    [("", False), ("2026-11-21T11:59:59Z", True), ("2026-11-21T12:00:01Z", False), ("soon", True)],
)
def test_a_token_expires(expiration: str, expired: bool) -> None:
    token = tokens.read(secret(expiration=expiration))
    assert token is not None
    assert token.is_expired(NOW) is expired


def test_a_secret_of_another_shape_is_no_token() -> None:
    assert tokens.read({**secret(), "type": "Opaque"}) is None
    assert tokens.read(secret(value="short")) is None
    renamed = secret()
    renamed["metadata"]["name"] = "bootstrap-token-ghijkl"
    assert tokens.read(renamed) is None


# ----- generated tokens

KEEP = NOW - timedelta(days=365)
ACCOUNT = {"metadata": {"name": "bot"}, "secrets": [{"name": "bot-token"}]}


def generated(created: datetime = KEEP - timedelta(days=9), **labels: str) -> dict[str, Any]:
    metadata = {
        "name": "bot-token",
        "creationTimestamp": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "labels": {f"kubernetes.io/legacy-token-{k.replace('_', '-')}": v for k, v in labels.items()},
    }
    return {"metadata": metadata, "type": "kubernetes.io/service-account-token"}


def judged(found: dict[str, Any], account: Any = ACCOUNT, mounted: bool = False) -> str | None:
    return verdict(found, account, mounted, KEEP, NOW)


def test_an_unused_token_is_invalidated_and_later_deleted() -> None:
    assert judged(generated()) == "invalidate"
    assert judged(generated(last_used="2024-01-01")) == "invalidate"
    assert judged(generated(invalid_since="2026-01-01")) is None
    assert judged(generated(invalid_since="2025-01-01")) == "delete"


def test_a_token_that_may_be_in_use_is_left_alone() -> None:
    assert judged(generated(created=NOW - timedelta(days=1))) is None
    assert judged(generated(last_used="2026-11-01")) is None
    assert judged(generated(last_used="yesterday")) is None
    assert judged(generated(), mounted=True) is None
    assert judged(generated(), account={"metadata": {"name": "bot"}}) is None
    assert judged(generated(), account=None) is None


def test_every_way_a_pod_refers_to_a_secret_counts() -> None:
    container = {
        "env": [{"valueFrom": {"secretKeyRef": {"name": "a"}}}],
        "envFrom": [{"secretRef": {"name": "b"}}],
    }
    volumes = [{"secret": {"secretName": "c"}}, {"projected": {"sources": [{"secret": {"name": "d"}}]}}]
    pod = {"spec": {"containers": [container], "volumes": volumes, "imagePullSecrets": [{"name": "e"}]}}
    assert {name for name in secrets_of(pod) if name} == {"a", "b", "c", "d", "e"}


def test_a_token_in_a_secret_is_signed_anew_once_its_key_is_believed_no_more(tmp_path: Path) -> None:
    cluster = plan.Cluster("t", "10.96.0.0/16", "cluster.local", ("10.0.0.1",))
    files.provision(tmp_path, cluster, plan.Host("cp1", "10.0.0.1", control_plane=True))
    private = tmp_path / "etc/kubernetes/pki/sa.key"
    token = sign(jws.load_private(private), {"sub": "somebody"})
    exchange = Exchange(files.HostFiles(tmp_path), TOKENS)
    for phase in Phase:
        assert not is_outlived(token, believed(private))
        exchange.advance(phase)
    assert is_outlived(token, believed(private))
    assert not is_outlived("somebody's own text", believed(private))
