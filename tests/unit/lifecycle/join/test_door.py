"""How far a joining host is, as an operator is told."""

from __future__ import annotations

import base64
from typing import Any

from kdist.lifecycle.join import door
from kdist.pki import issue, plan

UNHEARD = (
    "w2: it has not asked for its certificate: it does not reach an API server, or its token is not valid"
)


def csr(name: str, at: int, **status: Any) -> dict[str, Any]:
    leaf = plan.node_client(plan.Host(name, "10.0.0.9", False))
    return {
        "metadata": {"name": f"csr-{at}", "creationTimestamp": f"2026-11-21T12:00:{at:02}Z"},
        "spec": {
            "username": "system:bootstrap:abcdef",
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "request": base64.b64encode(issue.request(leaf, issue.new_key())).decode(),
        },
        "status": status,
    }


def test_every_host_is_told_with_its_standing() -> None:
    approved = {"type": "Approved"}
    asked = [csr("w1", 1)]
    assert door.standing(["w1", "w2"], asked) == [
        "w1: its request csr-1 waits for approval: is a controller manager running?",
        UNHEARD,
    ]
    (told,) = door.standing(["w1"], [*asked, csr("w1", 2, conditions=[approved])])
    assert told == "w1: its request csr-2 is approved and not signed: is a controller manager running?"
    (told,) = door.standing(["w1"], [csr("w1", 1, conditions=[approved], certificate="x")])
    assert told == "w1: its request csr-1 is signed, and its agent does not use the certificate"
    (told,) = door.standing(["w1"], [csr("w1", 1, conditions=[{"type": "Denied", "message": "no"}])])
    assert told == "w1: its request csr-1 was denied: no"


def test_requests_of_others_do_not_count() -> None:
    renewal = csr("w2", 1)
    renewal["spec"]["username"] = "system:node:w2"
    assert door.standing(["w2"], [renewal]) == [UNHEARD]
