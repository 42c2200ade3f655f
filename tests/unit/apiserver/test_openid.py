"""Users by OpenID Connect: a local issuer over real HTTPS, whose keys rotate and whose tokens are judged."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.authenticator import Anonymous, Authenticator
from kdist.apiserver.authn.configuration import ConfigurationError, parse
from kdist.apiserver.authn.oidc import ClaimMapping, Issuer, IssuerTokens, OpenIdTokens
from kdist.apiserver.authn.oidc.flags import from_flags
from kdist.apiserver.authn.oidc.keys import ASK_AGAIN_SECONDS, IssuerKeys
from kdist.apiserver.authn.webhook import WebhookTokens
from kdist.apiserver.selfsigned import serving_certificate
from kdist.client.kubeconfig import Access
from kdist.client.rest import Client
from kdist.config.apiserver import ApiServerSettings

OWN = ("https://kubernetes.default.svc",)
NOW = 1_700_000_000.0


class Issuing:
    """An issuer: signs tokens, publishes its keys, counts how often it is asked."""

    def __init__(self) -> None:
        self.url, self.ca, self.asked = "", b"", 0
        self.rotate("key1")

    def rotate(self, kid: str) -> None:
        self.kid, self.key = kid, rsa.generate_private_key(65537, 2048)

    def sign(self, **claims: Any) -> str:
        body = {"iss": self.url, "aud": "kubernetes", "sub": "jane", "exp": NOW + 60, **claims}
        return jwt.encode(body, self.key, "RS256", headers={"kid": self.kid})

    async def discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def keys(self, _: web.Request) -> web.Response:
        self.asked += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        odd = {"kty": "unknown", "kid": "odd"}
        return web.json_response({"keys": [odd, {**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]})


async def serve(app: web.Application) -> tuple[web.AppRunner, str, bytes]:
    """The app over HTTPS; its URL and the CA that vouches for it."""
    certificate, key = serving_certificate(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate, key)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    return runner, f"https://127.0.0.1:{port}", certificate


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as chain:
        chain.write(certificate + key)
        chain.flush()
        context.load_cert_chain(chain.name)


@pytest.fixture
async def issuing() -> AsyncIterator[Issuing]:
    issuing = Issuing()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuing.discovery)
    app.router.add_get("/keys", issuing.keys)
    runner, issuing.url, issuing.ca = await serve(app)
    yield issuing
    await runner.cleanup()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def configured(issuing: Issuing, **other: Any) -> Issuer:
    username = ClaimMapping("sub", f"{issuing.url}#")
    base = Issuer(issuing.url, ("kubernetes",), username, ClaimMapping("groups", "oidc:"), ca=issuing.ca)
    return replace(base, **other)


def tokens_of(issuing: Issuing, clock: Clock | None = None, **other: Any) -> OpenIdTokens:
    issuer, ticks = configured(issuing, **other), clock or Clock()
    return OpenIdTokens([IssuerTokens(issuer, IssuerKeys(issuer, ticks), lambda: NOW)], OWN, ticks)


async def test_claims_make_a_user(issuing: Issuing) -> None:
    verified = await tokens_of(issuing).verify(issuing.sign(groups=["dev", "ops"], jti="t1"))
    assert verified is not None
    assert verified.user.name == f"{issuing.url}#jane"
    assert verified.user.groups == ("oidc:dev", "oidc:ops", "system:authenticated")
    assert verified.user.extra["authentication.kubernetes.io/credential-id"] == ("JTI=t1",)
    assert verified.audiences == OWN


async def test_tokens_of_others_are_left_to_others(issuing: Issuing) -> None:
    tokens = tokens_of(issuing)
    assert await tokens.verify(issuing.sign(iss="https://other.example")) is None
    assert await tokens.verify("no-token-at-all") is None
    assert issuing.asked == 0


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "another"}, "expected audience in"),
        ({"exp": NOW - 1}, "token is expired"),
        ({"exp": None}, "token is expired"),
        ({"nbf": NOW + 1000}, "not before"),
        ({"sub": 7}, 'parse username claims "sub"'),
        ({"groups": {"a": 1}}, 'parse groups claim "groups"'),
        (
            {"hd": "other.example"},
            "required claim hd value does not match. Got = other.example, want = example.com",
        ),
        ({"hd": None}, "required claim hd"),
    ],
)
async def test_a_token_that_does_not_hold_is_refused_with_the_reason(
    issuing: Issuing, claims: dict[str, Any], told: str
) -> None:
    token = issuing.sign(**{"hd": "example.com", **claims})
    with pytest.raises(Unauthorized) as refused:
        await tokens_of(issuing, required={"hd": "example.com"}).verify(token)
    assert told in refused.value.message


async def test_a_forged_signature_and_another_algorithm_are_refused(issuing: Issuing) -> None:
    token = issuing.sign()
    forged = Issuing()
    forged.url, forged.kid = issuing.url, issuing.kid
    with pytest.raises(Unauthorized, match="failed to verify signature"):
        await tokens_of(issuing).verify(forged.sign())
    with pytest.raises(Unauthorized, match="failed to verify signature"):
        await tokens_of(issuing, algorithms=("ES256",)).verify(token)
    none = jwt.encode({"iss": issuing.url, "aud": "kubernetes", "sub": "jane", "exp": NOW + 60}, None, "none")
    with pytest.raises(Unauthorized):
        await tokens_of(issuing).verify(none)


async def test_an_email_must_be_verified(issuing: Issuing) -> None:
    tokens = tokens_of(issuing, username=ClaimMapping("email"))
    with pytest.raises(Unauthorized, match="email not verified"):
        await tokens.verify(issuing.sign(email="j@example.com", email_verified=False))
    verified = await tokens.verify(issuing.sign(email="j@example.com", email_verified=True))
    assert verified is not None
    assert verified.user.name == "j@example.com"


async def test_rotated_keys_are_fetched_and_made_up_key_ids_are_not_a_flood(issuing: Issuing) -> None:
    clock = Clock()
    tokens = tokens_of(issuing, clock)
    assert await tokens.verify(issuing.sign(jti="1"))
    assert issuing.asked == 1
    issuing.rotate("key2")
    with pytest.raises(Unauthorized):
        await tokens.verify(issuing.sign(jti="2"))
    assert issuing.asked == 1
    clock.now += ASK_AGAIN_SECONDS
    assert await tokens.verify(issuing.sign(jti="3"))
    assert issuing.asked == 2


async def test_a_verified_token_is_kept_for_a_moment(issuing: Issuing) -> None:
    clock = Clock()
    tokens, token = tokens_of(issuing, clock), issuing.sign()
    first = await tokens.verify(token)
    second = await tokens.verify(token)
    assert first is not None
    assert second is not None
    assert first.user is second.user
    clock.now += 11
    third = await tokens.verify(token)
    assert third is not None
    assert third.user is not first.user


async def test_an_issuer_that_does_not_answer_is_told(issuing: Issuing) -> None:
    with pytest.raises(Unauthorized, match="is not initialized"):
        await tokens_of(issuing, ca=b"").verify(issuing.sign())  # its certificate is not believed


async def test_the_chain_goes_on_after_a_refusal_and_hides_the_reason_from_the_client(
    issuing: Issuing,
) -> None:
    authenticator = Authenticator(remote=[tokens_of(issuing, audiences=("other",)), tokens_of(issuing)])
    scope = {"path": "/api", "headers": [(b"authorization", f"Bearer {issuing.sign()}".encode())]}
    user = await authenticator.authenticate(scope)
    assert user is not None
    assert user.name.endswith("#jane")
    refusing = Authenticator(remote=[tokens_of(issuing, audiences=("other",))])
    with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
        await refusing.authenticate(scope)


async def test_anonymous_requests_may_be_limited_to_paths() -> None:
    authenticator = Authenticator(anonymous=Anonymous(paths=["/livez"]))
    assert await authenticator.authenticate({"path": "/livez", "headers": []}) is not None
    assert await authenticator.authenticate({"path": "/api", "headers": []}) is None
    off = Authenticator(anonymous=Anonymous(enabled=False))
    assert await off.authenticate({"path": "/livez", "headers": []}) is None


# ----- configuration


def settings(**given: Any) -> ApiServerSettings:
    return ApiServerSettings(**{"oidc_issuer_url": "https://issuer", "oidc_client_id": "k", **given})


def test_flags_make_an_issuer() -> None:
    issuer = from_flags(settings(oidc_groups_claim="groups", oidc_required_claim=("hd=example.com",)))
    assert issuer is not None
    assert issuer.username == ClaimMapping("sub", "https://issuer#")
    assert issuer.required == {"hd": "example.com"}
    email = from_flags(settings(oidc_username_claim="email"))
    assert email is not None
    assert email.username.prefix == ""
    bare = from_flags(settings(oidc_username_prefix="-"))
    assert bare is not None
    assert bare.username.prefix == ""
    assert from_flags(ApiServerSettings()) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"oidc_client_id": ""}, "must be specified together"),
        ({"oidc_issuer_url": "http://issuer"}, "URL scheme must be https"),
        ({"oidc_signing_algs": ("HS256",)}, 'Unsupported value: "HS256"'),
        ({"oidc_required_claim": ("novalue",)}, "must be of the form key=value"),
        ({"oidc_ca_file": Path("/nonexistent")}, "--oidc-ca-file: /nonexistent: No such file"),
    ],
)
def test_bad_flags_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        from_flags(settings(**given))


def document(**jwt_: Any) -> dict[str, Any]:
    issuer = {"url": "https://issuer", "audiences": ["k"]}
    mappings = {"username": {"claim": "sub", "prefix": ""}}
    return {"jwt": [{"issuer": issuer, "claimMappings": mappings, **jwt_}]}


def test_a_document_makes_issuers() -> None:
    rules = [{"claim": "hd", "requiredValue": "example.com"}]
    found = parse(
        document(claimValidationRules=rules)
        | {"anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]}}
    )
    assert found.issuers[0].required == {"hd": "example.com"}
    assert (found.anonymous, found.anonymous_paths) == (True, ("/livez",))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (document(issuer={"audiences": ["k"]}), "jwt[0].issuer.url: Required value: URL is required"),
        (document(issuer={"url": "https://i?x", "audiences": ["k"]}), "URL must not contain a query"),
        (document(issuer={"url": "https://i"}), "jwt[0].issuer.audiences: Required value"),
        (
            document(issuer={"url": "https://i", "audiences": ["a", "b"]}),
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            document(issuer={"url": "https://own", "audiences": ["a"]}),
            'jwt[0].issuer.url: Invalid value: "https://own": URL must not overlap',
        ),
        (document(issuer={"url": "https://i", "audiences": ["a"], "certificateAuthority": "x"}), "<omitted>"),
        (document(claimMappings={}), "jwt[0].claimMappings.username: Required value: claim or expression is"),
        (
            document(claimMappings={"username": {"claim": "sub"}}),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set",
        ),
        (document(claimValidationRules=[{}]), "jwt[0].claimValidationRules[0]: Required value"),
        (document(typo=1), 'unknown field "jwt[0].typo"'),
        (
            {"jwt": [*document()["jwt"], *document()["jwt"]]},
            'jwt[1].issuer.url: Duplicate value: "https://issuer"',
        ),
        ({"anonymous": {"conditions": [{"path": "/x"}]}}, "enabled should be set to true"),
    ],
)
def test_a_bad_document_is_told_by_field(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(given, ("https://own",))
    assert told in str(refused.value)


async def test_expressions_make_and_judge_users(issuing: Issuing) -> None:
    made = parse(
        document(
            issuer={
                "url": issuing.url,
                "audiences": ["kubernetes"],
                "certificateAuthority": issuing.ca.decode(),
            },
            claimMappings={
                "username": {"expression": "claims.sub + '@corp'"},
                "groups": {"expression": "claims.roles.split(',')"},
                "uid": {"expression": "claims.?uid.orValue('none')"},
                "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
            },
            claimValidationRules=[{"expression": "claims.hd == 'example.com'", "message": "wrong domain"}],
            userValidationRules=[
                {"expression": "!user.username.startsWith('system:')", "message": "reserved"}
            ],
        )
    ).issuers[0]
    tokens = OpenIdTokens([IssuerTokens(made, IssuerKeys(made, Clock()), lambda: NOW)], OWN, Clock())
    claims = {"roles": "dev,ops", "tenant": ["a", "b"], "hd": "example.com"}
    verified = await tokens.verify(issuing.sign(**claims))
    assert verified is not None
    user = verified.user
    assert (user.name, user.uid, user.groups[:2]) == ("jane@corp", "none", ("dev", "ops"))
    assert user.extra["example.com/tenant"] == ("a", "b")
    for bad, told in (
        ({"hd": "other"}, "wrong domain"),
        ({"sub": "system:admin"}, "reserved"),
        ({"sub": 7}, "error evaluating expression"),
        ({"roles": "x", "tenant": 7}, "must return a string or a list of strings"),
    ):
        with pytest.raises(Unauthorized) as refused:
            await tokens.verify(issuing.sign(**{**claims, **bad}))
        assert told in refused.value.message


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"claimMappings": {"username": {"expression": "claims.sub +"}}},
            "claimMappings.username.expression",
        ),
        ({"claimMappings": {"username": {"expression": "claims.sub", "claim": "sub"}}}, "can't both be set"),
        (
            {"claimMappings": {"username": {"expression": "claims.email"}}},
            "claims.email_verified must be used",
        ),
        ({"claimValidationRules": [{"expression": "claims.sub"}]}, "must evaluate to bool"),
        ({"userValidationRules": [{"expression": "user.nothing == 'a'"}]}, "undefined field"),
        ({"userValidationRules": [{}]}, "userValidationRules[0].expression: Required value"),
    ],
)
def test_a_bad_expression_is_told_by_field(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(document(**given))
    assert told in str(refused.value)


@pytest.mark.parametrize("key", ["Example.com/a", "plain", "kubernetes.io/a", "x.k8s.io/a"])
def test_an_extra_key_has_a_domain_of_its_own(key: str) -> None:
    mappings = {
        "username": {"claim": "sub", "prefix": ""},
        "extra": [{"key": key, "valueExpression": "claims.sub"}],
    }
    with pytest.raises(ConfigurationError, match=r"jwt\[0\].claimMappings.extra\[0\].key"):
        parse(document(claimMappings=mappings))


# ----- webhook


class Reviewing:
    """A TokenReview webhook that knows one token."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []

    async def review(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews.append(review)
        user = {"username": "jane", "groups": ["dev"], "extra": {"a": ["b"]}}
        good = review["spec"]["token"] == "good"
        status = {"authenticated": True, "user": user} if good else {"authenticated": False}
        if review["spec"]["token"] == "odd":
            status["error"] = "who are you?"
        return web.json_response({**review, "status": status})


async def test_a_webhook_is_asked_once_per_token_while_its_answer_is_fresh() -> None:
    reviewing, clock = Reviewing(), Clock()
    app = web.Application()
    app.router.add_post("/authenticate", reviewing.review)
    runner, url, ca = await serve(app)
    tls = ssl.create_default_context(cadata=ca.decode())
    client = Client(Access((f"{url}/authenticate",), tls), user_agent="test")
    tokens = WebhookTokens(client, version="v1", ttl=120, own=OWN, clock=clock)
    for _ in range(2):
        verified = await tokens.verify("good")
        assert verified is not None
        assert (verified.user.name, verified.user.extra) == ("jane", {"a": ("b",)})
        assert verified.user.groups == ("dev", "system:authenticated")
        assert await tokens.verify("bad") is None
    assert len(reviewing.reviews) == 2
    assert reviewing.reviews[0]["apiVersion"] == "authentication.k8s.io/v1"
    assert reviewing.reviews[0]["spec"] == {"token": "good", "audiences": list(OWN)}
    with pytest.raises(Unauthorized, match="who are you"):
        await tokens.verify("odd")
    clock.now += 121
    await tokens.verify("good")
    assert len(reviewing.reviews) == 4
    await tokens.close()
    await runner.cleanup()
