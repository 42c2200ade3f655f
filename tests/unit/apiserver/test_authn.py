"""Who a request is believed to come from."""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kdist.api.errors import BadRequest, Conflict, Invalid, Unauthorized, not_found
from kdist.api.kinds import PODS, SECRETS, SERVICE_ACCOUNTS
from kdist.apiserver.authn import ANONYMOUS, Authenticator
from kdist.apiserver.authn.bootstraptokens import BootstrapTokens
from kdist.apiserver.authn.certificates import Authority
from kdist.apiserver.authn.frontproxy import FrontProxy
from kdist.apiserver.authn.keys import KeySet
from kdist.apiserver.authn.reviews import token_review
from kdist.apiserver.authn.tokenrequest import TokenIssuer
from kdist.apiserver.authn.tokens import TokenVerifier

ISSUER = "https://kubernetes.default.svc"
NOW = 1_700_000_000.0


class Objects:
    """A watch cache and a registry over one dict."""

    def __init__(self):
        self.objects = {}

    def put(self, kind, namespace, name, **rest):
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
        self.objects[kind, namespace, name] = {"metadata": meta, **rest}

    def get(self, kind, namespace, name):
        return self.objects.get((kind, namespace, name))


class Registry(Objects):
    async def get(self, kind, namespace, name):
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return found


@pytest.fixture(scope="module")
def keys():
    return KeySet.of(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def cache():
    objects = Objects()
    objects.put(SERVICE_ACCOUNTS, "ns", "bot")
    objects.put(PODS, "ns", "p", spec={"serviceAccountName": "bot"})
    return objects


@pytest.fixture
def issuer(keys, cache):
    registry = Registry()
    registry.objects = cache.objects
    return TokenIssuer(keys, registry, issuer=ISSUER, audiences=[ISSUER], clock=lambda: NOW)


def verifier(keys, cache, now=NOW):
    return TokenVerifier(keys, cache, issuers=[ISSUER], audiences=[ISSUER], clock=lambda: now)


def request(**spec):
    return {"spec": spec}


POD = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p"}


async def test_a_bound_token_is_its_service_account_until_it_expires(keys, cache, issuer):
    answer = await issuer.issue("ns", "bot", request(boundObjectRef=POD, expirationSeconds=600))
    token = answer["status"]["token"]
    user = verifier(keys, cache).verify(token).user
    assert user.name == "system:serviceaccount:ns:bot"
    assert user.uid == "uid-bot"
    assert "system:serviceaccounts:ns" in user.groups
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    with pytest.raises(Unauthorized, match="expired"):
        verifier(keys, cache, NOW + 601).verify(token)


async def test_a_token_dies_with_its_pod_and_with_a_recreated_account(keys, cache, issuer):
    token = (await issuer.issue("ns", "bot", request(boundObjectRef=POD)))["status"]["token"]
    check = verifier(keys, cache)
    assert check.verify(token)
    pod = cache.objects.pop((PODS, "ns", "p"))
    with pytest.raises(Unauthorized, match="its Pod is gone"):
        check.verify(token)
    cache.objects[PODS, "ns", "p"] = pod
    cache.objects[SERVICE_ACCOUNTS, "ns", "bot"]["metadata"]["uid"] = "another"
    with pytest.raises(Unauthorized, match="its ServiceAccount is gone"):
        check.verify(token)


async def test_a_token_is_good_for_its_audiences_only(keys, cache, issuer):
    token = (await issuer.issue("ns", "bot", request(audiences=["vault"])))["status"]["token"]
    check = verifier(keys, cache)
    with pytest.raises(Unauthorized):
        check.verify(token)
    assert check.verify(token, ["vault", "other"]).audiences == ("vault",)


async def test_signatures_of_other_keys_are_refused_and_foreign_tokens_ignored(keys, cache, issuer):
    token = (await issuer.issue("ns", "bot", request()))["status"]["token"]
    stranger = KeySet.of(rsa.generate_private_key(65537, 2048))
    with pytest.raises(Unauthorized, match="signature"):
        verifier(stranger, cache).verify(token)
    assert verifier(keys, cache).verify("not-a-jwt") is None


async def test_token_requests_are_validated(issuer, cache):
    with pytest.raises(Invalid, match="less than 10 minutes"):
        await issuer.issue("ns", "bot", request(expirationSeconds=60))
    with pytest.raises(Conflict):
        await issuer.issue("ns", "bot", request(boundObjectRef={**POD, "uid": "old"}))
    cache.put(PODS, "ns", "other", spec={"serviceAccountName": "default"})
    other = {"apiVersion": "v1", "kind": "Pod", "name": "other"}
    with pytest.raises(BadRequest, match="different serviceaccount name"):
        await issuer.issue("ns", "bot", request(boundObjectRef=other))


async def test_token_reviews_tell_the_user_or_why_not(keys, cache, issuer):
    authenticator = Authenticator(tokens=verifier(keys, cache))
    token = (await issuer.issue("ns", "bot", request()))["status"]["token"]
    status = (await token_review(authenticator, request(token=token)))["status"]
    assert status["authenticated"] and status["audiences"] == [ISSUER]
    assert "error" in (await token_review(authenticator, request(token=token, audiences=["x"])))["status"]


def certificate(name, organizations, issuer=None, days=1):
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    return made, key


def scope(made, *headers):
    der = made.public_bytes(serialization.Encoding.DER)
    return {"extensions": {"tls": {"client_cert": der}}, "headers": list(headers)}


def authority(made):
    return Authority(made.public_bytes(serialization.Encoding.PEM))


async def test_certificates_name_user_and_groups_when_the_right_authority_issued_them():
    ca, other = certificate("ca", []), certificate("other", [])
    authenticator = Authenticator(client_ca=authority(ca[0]))
    user = await authenticator.authenticate(scope(certificate("jane", ["dev", "ops"], ca)[0]))
    assert (user.name, user.groups) == ("jane", ("dev", "ops", "system:authenticated"))
    assert await authenticator.authenticate(scope(certificate("jane", [], other)[0])) == ANONYMOUS
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(scope(certificate("jane", [], ca, days=-1)[0]))


async def test_only_the_front_proxy_may_name_users_in_headers():
    ca, proxy_ca = certificate("ca", []), certificate("proxy-ca", [])
    proxy = FrontProxy(authority(proxy_ca[0]), ["front-proxy-client"])
    authenticator = Authenticator(client_ca=authority(ca[0]), front_proxy=proxy)
    headers = [(b"x-remote-user", b"jane"), (b"x-remote-group", b"dev"), (b"x-remote-extra-a%2fb", b"c")]
    user = await authenticator.authenticate(
        scope(certificate("front-proxy-client", [], proxy_ca)[0], *headers)
    )
    assert (user.name, user.groups, user.extra) == ("jane", ("dev", "system:authenticated"), {"a/b": ("c",)})
    assert (await authenticator.authenticate(scope(certificate("bob", [], ca)[0], *headers))).name == "bob"


def test_bootstrap_tokens_work_until_they_expire():
    objects = Objects()
    fields = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers,bad-group",
        "expiration": "2023-11-14T23:00:00Z",
    }
    data = {k: base64.b64encode(v.encode()).decode() for k, v in fields.items()}
    objects.put(
        SECRETS, "kube-system", "bootstrap-token-abcdef", type="bootstrap.kubernetes.io/token", data=data
    )
    tokens = BootstrapTokens(objects, clock=lambda: NOW)
    user = tokens.authenticate("abcdef.0123456789abcdef")
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers")
    assert tokens.authenticate("abcdef.0000000000000000") is None
    assert BootstrapTokens(objects, clock=lambda: NOW + 86400).authenticate("abcdef.0123456789abcdef") is None


async def test_a_bad_token_is_refused_without_saying_why(keys, cache):
    authenticator = Authenticator(tokens=verifier(keys, cache))
    with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
        await authenticator.authenticate({"headers": [(b"authorization", b"Bearer nonsense")]})
    assert await authenticator.authenticate({"headers": []}) == ANONYMOUS
