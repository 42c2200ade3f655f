"""Tokens are asked for once and renewed at four fifths of their life."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kdist.agent.volumes.tokens import Tokens

POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u1"}, "spec": {"serviceAccountName": "sa"}}


class Api:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.requests: list[dict[str, Any]] = []

    async def create(self, kind: Any, obj: Any, namespace: Any = None, **where: Any) -> dict[str, Any]:
        self.requests.append({"spec": obj["spec"], "namespace": namespace, **where})
        expires = datetime.fromtimestamp(self.now + obj["spec"]["expirationSeconds"], UTC)
        stamp = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"status": {"token": f"t{len(self.requests)}", "expirationTimestamp": stamp}}


async def test_token_is_bound_to_the_pod_and_kept_until_it_is_old() -> None:
    api = Api()
    tokens = Tokens(api, clock=lambda: api.now)
    assert await tokens.token(POD, ["aud"], 1000) == "t1"
    request = api.requests[0]
    assert (request["namespace"], request["name"], request["subresource"]) == ("ns", "sa", "token")
    assert request["spec"]["boundObjectRef"]["uid"] == "u1"
    assert request["spec"]["audiences"] == ["aud"]
    api.now += 780
    assert await tokens.token(POD, ["aud"], 1000) == "t1"
    api.now += 21
    assert await tokens.token(POD, ["aud"], 1000) == "t2"


async def test_forgotten_pod_gets_a_new_token() -> None:
    api = Api()
    tokens = Tokens(api, clock=lambda: api.now)
    await tokens.token(POD)
    tokens.forget("u1")
    assert await tokens.token(POD) == "t2"
