"""Encryption at rest: what upstream's server writes is read, what cannot be read is told, keys can be exchanged."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver import encryption
from kdist.storage.encryption import ConfigurationError, EncryptedStorage, Transformers
from kdist.storage.encryption.ciphers import Undecipherable
from kdist.storage.encryption.configuration import parse
from kdist.storage.hub import Hub
from kdist.storage.interface import Unreadable, Write, guaranteed_update
from kdist.storage.memory import MemoryStorage
from kdist.storage.watchcache import BrokenEntry

INTERCHANGE = json.loads(Path(__file__).with_name("encryption_interchange.json").read_text())
KEY = "/registry/secrets/ns/a"
RESOURCE_OF = encryption.resources(Scheme.load("1.32"))


def secret(letter: str, size: int = 32) -> str:
    return base64.b64encode(letter.encode() * size).decode()


def configuration(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> Transformers:
    rule = {"resources": list(resources), "providers": list(providers)}
    return parse(orjson.dumps({**HEAD, "resources": [rule]}))


HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}


def keyed(kind: str, *letters: str) -> dict[str, Any]:
    return {kind: {"keys": [{"name": f"key-{letter}", "secret": secret(letter)} for letter in letters]}}


IDENTITY: dict[str, Any] = {"identity": {}}


def storage(transformers: Transformers, inner: MemoryStorage | None = None) -> EncryptedStorage:
    return EncryptedStorage(inner or MemoryStorage(), transformers, RESOURCE_OF, encryption._from_protobuf)


def obj(**data: str) -> bytes:
    return orjson.dumps({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": data})


@pytest.mark.parametrize("stored", INTERCHANGE["values"], ids=lambda v: f"{v['writer']} {v['key']}")
async def test_values_of_either_server_are_read(stored: dict[str, str]) -> None:
    transformers = parse(INTERCHANGE["configuration"].encode())
    inner = MemoryStorage()
    await inner.commit({}, puts={stored["key"]: base64.b64decode(stored["value"])})
    read = await storage(transformers, inner).get(stored["key"])
    assert read is not None
    assert read.error == ""
    found = orjson.loads(read.value)
    assert found["metadata"]["uid"] == stored["uid"]
    assert found["metadata"]["name"] == stored["key"].rpartition("/")[2]


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
async def test_a_value_is_stored_under_the_prefix_of_provider_and_key(kind: str) -> None:
    inner = MemoryStorage()
    await storage(configuration(keyed(kind, "x")), inner).commit({}, puts={KEY: obj(password="hunter2")})
    raw = await inner.get(KEY)
    assert raw is not None
    assert raw.value.startswith(f"k8s:enc:{kind}:v1:key-x:".encode())
    assert b"hunter2" not in raw.value


async def test_an_aesgcm_value_is_bound_to_its_key() -> None:
    inner = MemoryStorage()
    encrypted = storage(configuration(keyed("aesgcm", "x")), inner)
    await encrypted.commit({}, puts={KEY: obj()})
    raw = await inner.get(KEY)
    assert raw is not None
    await inner.commit({}, puts={KEY + "2": raw.value})
    moved = await encrypted.get(KEY + "2")
    assert moved is not None
    assert moved.error == "cipher: message authentication failed"


async def test_a_value_of_an_older_key_or_provider_is_outdated() -> None:
    inner = MemoryStorage()
    await storage(configuration(keyed("aesgcm", "x"), IDENTITY), inner).commit({}, puts={KEY: obj()})
    await inner.commit({}, puts={"/registry/secrets/ns/plain": obj()})
    for providers in (
        [keyed("aesgcm", "y", "x"), IDENTITY],
        [keyed("secretbox", "z"), keyed("aesgcm", "x"), IDENTITY],
    ):
        newer = storage(configuration(*providers), inner)
        assert [kv.outdated for kv in (await newer.list("/registry/secrets/")).items] == [True, True]
        assert [kv.value for kv in (await newer.list("/registry/secrets/")).items] == [obj(), obj()]


async def test_the_same_key_name_may_stand_in_two_providers_of_one_kind() -> None:
    old = {"aescbc": {"keys": [{"name": "k", "secret": secret("o")}]}}
    new = {"aescbc": {"keys": [{"name": "k", "secret": secret("n")}]}}
    inner = MemoryStorage()
    await storage(configuration(old), inner).commit({}, puts={KEY: obj(a="b")})
    read = await storage(configuration(new, old), inner).get(KEY)
    assert read is not None
    assert (read.value, read.outdated) == (obj(a="b"), True)


def test_identity_first_reads_what_was_encrypted() -> None:
    written = configuration(keyed("secretbox", "x")).of("", "secrets").write(b"{}", b"")
    plain = configuration(IDENTITY, keyed("secretbox", "x")).of("", "secrets").read(written, b"")
    assert (plain.value, plain.outdated) == (b"{}", True)
    with pytest.raises(Undecipherable, match="no matching prefix found"):
        configuration(IDENTITY).of("", "secrets").read(written, b"")
    with pytest.raises(Undecipherable, match="no matching prefix found"):
        configuration(keyed("secretbox", "x")).of("", "secrets").read(b"{}", b"")


def test_the_narrowest_rule_holds() -> None:
    rules = {
        **HEAD,
        "resources": [
            {"resources": ["secrets"], "providers": [keyed("aesgcm", "s")]},
            {"resources": ["*.apps", "*."], "providers": [keyed("aesgcm", "a")]},
            {"resources": ["*.*"], "providers": [keyed("aesgcm", "e")]},
        ],
    }
    transformers = parse(orjson.dumps(rules))

    def writer(group: str, plural: str) -> bytes:
        return transformers.of(group, plural).write(b"{}", b"")[: len("k8s:enc:aesgcm:v1:key-s")][-1:]

    assert writer("", "secrets") == b"s"
    assert writer("", "pods") == b"a"
    assert writer("apps", "deployments") == b"a"
    assert writer("example.com", "widgets") == b"e"


def test_storage_keys_are_known_as_resources() -> None:
    assert RESOURCE_OF("/registry/secrets/ns/a") == ("", "secrets")
    assert RESOURCE_OF("/registry/services/specs/ns/a") == ("", "services")
    assert RESOURCE_OF("/registry/minions/n") == ("", "nodes")
    assert RESOURCE_OF("/registry/deployments/ns/a") == ("apps", "deployments")
    assert RESOURCE_OF("/registry/example.com/widgets/ns/a") == ("example.com", "widgets")
    assert RESOURCE_OF("/registry/masterleases/10.0.0.1") is None
    assert RESOURCE_OF("/registry/ranges/serviceips/10.0.0.1") is None


@pytest.mark.parametrize(
    ("resources", "providers", "told"),
    [
        (["secrets"], [], "resources[0].providers: Required value"),
        ([], [IDENTITY], "resources[0].resources: Required value"),
        (["*"], [IDENTITY], "resources[0].resources[0]: Invalid value: \"*\": use '*.'"),
        (["Secrets"], [IDENTITY], "should not contain capital letters"),
        (["secrets.*"], [IDENTITY], "across groups is not supported"),
        (["events.events.k8s.io"], [IDENTITY], "stored using the 'events' API group"),
        (["secrets", "*."], [IDENTITY], "overlapping resources"),
        (["secrets", "secrets"], [IDENTITY], "cannot be specified multiple times"),
        (["secrets"], [{**IDENTITY, **keyed("aesgcm", "x")}], "more than one provider specified"),
        (["secrets"], [{"rot13": {}}], 'unknown field "resources[0].providers[0].rot13"'),
        (["secrets"], [{"kms": {}}], "resources[0].providers[0].kms.apiVersion: Invalid value"),
        (["secrets"], [{"aesgcm": {"keys": []}}], "providers[0].aesgcm.keys: Required value"),
        (
            ["secrets"],
            [{"secretbox": {"keys": [{"name": "a", "secret": secret("x", 16)}]}}],
            'keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 16, '
            "expected one of [32]",
        ),
        (["secrets"], [{"aescbc": {"keys": [{"name": "", "secret": "%"}]}}], "keys[0].name: Required value"),
        (["secrets"], [{"aescbc": {"keys": [{"name": "a", "secret": "%"}]}}], "must be base64 encoded"),
    ],
)
def test_a_bad_configuration_is_told_by_field(resources: Any, providers: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configuration(*providers, resources=tuple(resources))
    assert told in str(refused.value)


def test_a_rule_that_an_earlier_one_hides_is_refused() -> None:
    rules = [{"resources": [r], "providers": [IDENTITY]} for r in ("*.apps", "deployments.apps")]
    with pytest.raises(ConfigurationError, match=r'"deployments.apps" is masked by earlier rule "\*.apps"'):
        parse(orjson.dumps({**HEAD, "resources": rules}))


def test_no_key_is_told_when_the_file_is_no_yaml() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(b"secret: c2VjcmV0\n  - broken")
    assert "c2VjcmV0" not in str(refused.value)


# ----- through the caches


@pytest.fixture
async def broken() -> AsyncIterator[tuple[Hub, EncryptedStorage]]:
    """One object that can be read and one whose key is not known."""
    inner = MemoryStorage()
    await storage(configuration(keyed("secretbox", "o")), inner).commit({}, puts={KEY: obj(a="old")})
    known = storage(configuration(keyed("secretbox", "n"), IDENTITY), inner)
    await known.commit({}, puts={"/registry/secrets/other/b": obj(a="new")})
    yield Hub(known), known


async def test_an_object_that_cannot_be_read_hides_no_other(broken: tuple[Hub, EncryptedStorage]) -> None:
    hub, known = broken
    hub._started.set()
    cache = await hub.cache("/registry/secrets/", lambda _: {})
    entry = cache.get(KEY)
    assert isinstance(entry, BrokenEntry)
    with pytest.raises(Unreadable, match=f'unable to transform key "{KEY}": no matching key was found'):
        entry.body  # noqa: B018
    with pytest.raises(Unreadable):
        list(cache.entries())
    assert len(list(cache.entries("other/"))) == 1
    with pytest.raises(Unreadable):
        await guaranteed_update(known, KEY, _refuse)


async def _refuse(*_: object) -> Write | None:
    raise AssertionError("the object cannot be read")


async def test_a_key_that_comes_later_mends_the_cache(broken: tuple[Hub, EncryptedStorage]) -> None:
    hub, known = broken
    hub._started.set()
    cache = await hub.cache("/registry/secrets/", lambda _: {})
    known.use(configuration(keyed("secretbox", "n", "o"), IDENTITY))
    await encryption._mend(hub)
    assert not cache.broken
    assert [orjson.loads(e.body)["data"]["a"] for e in cache.entries()] == ["old", "new"]


async def test_a_watcher_is_ended_rather_than_told_of_a_deletion() -> None:
    inner = MemoryStorage()
    known = storage(configuration(keyed("secretbox", "n"), IDENTITY), inner)
    hub = Hub(known)
    hub._started.set()
    cache = await hub.cache("/registry/secrets/", lambda _: {})
    watcher = cache.watch("", None, since=None)
    revision = await inner.commit({}, puts={KEY: b"k8s:enc:secretbox:v1:unknown:x"})
    events = known._event((await anext(aiter(inner.watch("", revision))))[0])
    cache.apply([events])
    assert isinstance(watcher.error, Unreadable)
    assert watcher.pending == []
