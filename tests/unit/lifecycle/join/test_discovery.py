"""What a joining host believes: a cluster-info signed by its token, with the pinned key in it."""

import base64

import pytest

from kdist.lifecycle.join import discovery, trust
from kdist.pki import issue, jws
from kdist.pki.plan import CLUSTER_CA

TOKEN = "abcdef.0123456789abcdef"
CA = issue.create_authority(CLUSTER_CA).certificate
PIN = trust.authority_hash(CA)


def info(authority: bytes = CA, secret: str = "0123456789abcdef") -> dict[str, str]:
    data: dict[str, str] = dict(trust.cluster_info(authority, ["https://10.0.0.1:6443"], None)["data"])
    return data | {"jws-kubeconfig-abcdef": jws.detached(data["kubeconfig"], "abcdef", secret)}


def test_a_signed_map_with_the_pinned_key_is_believed() -> None:
    assert discovery.believed(info(), TOKEN, PIN) == CA


def test_a_map_that_the_token_has_not_signed_is_not() -> None:
    with pytest.raises(discovery.NotTrusted, match="not signed by token abcdef"):
        discovery.believed({k: v for k, v in info().items() if k == "kubeconfig"}, TOKEN, PIN)
    with pytest.raises(discovery.NotTrusted, match="signature of token abcdef on cluster-info is wrong"):
        discovery.believed(info(secret="fedcba9876543210"), TOKEN, PIN)


def test_a_changed_map_is_not_believed() -> None:
    data = info()
    other = base64.b64encode(issue.create_authority(CLUSTER_CA).certificate).decode()
    data["kubeconfig"] = data["kubeconfig"].replace(base64.b64encode(CA).decode(), other)
    with pytest.raises(discovery.NotTrusted, match="is wrong"):
        discovery.believed(data, TOKEN, PIN)


def test_a_stolen_token_does_not_make_another_key_believable() -> None:
    other = issue.create_authority(CLUSTER_CA).certificate
    with pytest.raises(discovery.NotTrusted, match="was given"):
        discovery.believed(info(other), TOKEN, PIN)


def test_without_a_server_that_answers_each_is_named_with_its_reason() -> None:
    with pytest.raises(discovery.NotTrusted, match=r"https://127\.0\.0\.1:1: .*refused"):
        discovery.discover(["https://127.0.0.1:1"], TOKEN, PIN)
