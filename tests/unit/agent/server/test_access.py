"""Who may ask a node what."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.agent.server.access import (
    ALLOWED_SECONDS,
    DENIED_SECONDS,
    Access,
    Attributes,
    AuthenticationFailed,
    Refused,
    User,
    attributes,
)
from kdist.api.kinds import TOKEN_REVIEWS

PEER = {"subject": ((("organizationName", "system:masters"),), (("commonName", "admin"),))}


class Reviews:
    def __init__(self) -> None:
        self.now, self.asked, self.allowed = 0.0, 0, True

    async def create(self, kind: Any, obj: Any, namespace: Any = None) -> dict[str, Any]:
        self.asked += 1
        if kind == TOKEN_REVIEWS:
            good = obj["spec"]["token"] == "good"
            return {"status": {"authenticated": good, "user": {"username": "u", "groups": ["g"]}}}
        assert obj["spec"]["resourceAttributes"]["name"] == "n1"
        return {"status": {"allowed": self.allowed}}


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def access(reviews: Reviews) -> Access:
    return Access(reviews, "n1", clock=lambda: reviews.now)


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/containerLogs/ns/p/c", Attributes("get", "proxy")),
        ("POST", "/exec/ns/p/c", Attributes("create", "proxy")),
        ("GET", "/stats/summary", Attributes("get", "stats")),
        ("GET", "/metrics/resource", Attributes("get", "metrics")),
        ("GET", "/logs/", Attributes("get", "log")),
    ],
)
def test_paths_are_subresources_of_the_node(method: str, path: str, wanted: Attributes) -> None:
    assert attributes(method, path) == wanted


async def test_certificate_names_user_and_groups(access: Access, reviews: Reviews) -> None:
    user = await access.authenticate(PEER, "")
    assert (user.name, user.groups) == ("admin", ("system:masters", "system:authenticated"))
    assert reviews.asked == 0


async def test_token_is_reviewed_once_and_bad_ones_are_refused(access: Access, reviews: Reviews) -> None:
    for _ in range(2):
        assert (await access.authenticate(None, "Bearer good")).name == "u"
    assert reviews.asked == 1
    for header in ("Bearer bad", "", "Basic good"):
        with pytest.raises(AuthenticationFailed):
            await access.authenticate(None, header)


async def test_decisions_are_kept_denials_shorter(access: Access, reviews: Reviews) -> None:
    wanted, user = Attributes("get", "stats"), User("u")
    await access.authorize(user, wanted)
    reviews.allowed = False
    await access.authorize(user, wanted)
    reviews.now += ALLOWED_SECONDS
    for _ in range(2):
        with pytest.raises(Refused, match="user=u, verb=get, resource=nodes, subresource=stats"):
            await access.authorize(user, wanted)
    assert reviews.asked == 2
    reviews.now += DENIED_SECONDS
    reviews.allowed = True
    await access.authorize(user, wanted)
