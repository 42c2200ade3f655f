"""Keys that a plug-in keeps: asked for once, exchanged when it says so, told of when it cannot be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver import encryption
from kdist.storage.encryption import ConfigurationError, EncryptedStorage, PluginError, Transformers
from kdist.storage.encryption.configuration import parse
from kdist.storage.encryption.kms import WRITE_SECONDS, KmsProvider, Plugin
from kdist.storage.interface import Unavailable
from kdist.storage.memory import MemoryStorage
from tests.unit.storage.kmsplugin import KmsPlugin

KEY = "/registry/secrets/ns/a"
RESOURCE_OF = encryption.resources(Scheme.load("1.32"))


@pytest.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[KmsPlugin]:
    async with KmsPlugin(tmp_path / "kms.sock") as plugin:
        yield plugin


def configuration(**kms: Any) -> bytes:
    rule = {"resources": ["secrets"], "providers": [{"kms": kms}, {"identity": {}}]}
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return orjson.dumps({**head, "resources": [rule]})


def transformers(plugin: KmsPlugin) -> Transformers:
    kms = {"apiVersion": "v2", "name": "mine", "endpoint": plugin.endpoint, "timeout": "1s500ms"}
    return parse(configuration(**kms))


async def storage(plugin: KmsPlugin, inner: MemoryStorage) -> EncryptedStorage:
    made = EncryptedStorage(inner, transformers(plugin), RESOURCE_OF, lambda value: value)
    await encryption.start(made)
    return made


def secret(**data: str) -> bytes:
    return orjson.dumps({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": data})


async def test_a_value_is_stored_under_the_providers_prefix_and_read_again(plugin: KmsPlugin) -> None:
    inner = MemoryStorage()
    first = await storage(plugin, inner)
    await first.commit({}, puts={KEY: secret(password="hunter2")})
    raw = await inner.get(KEY)
    assert raw is not None and raw.value.startswith(b"k8s:enc:kms:v2:mine:") and b"hunter2" not in raw.value
    read = await first.get(KEY)
    assert read is not None and read.value == secret(password="hunter2") and not read.outdated
    assert plugin.asked["Decrypt"] == 0  # its own seed is known


async def test_another_server_asks_once_for_all_values(plugin: KmsPlugin) -> None:
    inner = MemoryStorage()
    first = await storage(plugin, inner)
    for name in "abc":
        await first.commit({}, puts={f"/registry/secrets/ns/{name}": secret(name=name)})
    second = await storage(plugin, inner)
    page = await second.list("/registry/secrets/")
    assert [orjson.loads(item.value)["data"]["name"] for item in page.items] == ["a", "b", "c"]
    assert plugin.asked["Decrypt"] == 1


async def test_every_value_has_a_key_of_its_own_and_is_bound_to_its_place(plugin: KmsPlugin) -> None:
    inner = MemoryStorage()
    made = await storage(plugin, inner)
    await made.commit({}, puts={KEY: secret(a="b")})
    raw = await inner.get(KEY)
    assert raw is not None
    await inner.commit({}, puts={"/registry/secrets/ns/other": raw.value})
    moved = await made.get("/registry/secrets/ns/other")
    assert moved is not None and moved.error == "cipher: message authentication failed"


async def test_a_new_key_makes_what_the_old_one_wrote_outdated(plugin: KmsPlugin) -> None:
    inner = MemoryStorage()
    made = await storage(plugin, inner)
    await made.commit({}, puts={KEY: secret(a="b")})
    plugin.key_id = "key-2"
    await encryption.prime(made.transformers)
    before = await made.get(KEY)
    assert before is not None and before.error == "" and before.outdated
    await made.commit({}, puts={KEY: secret(a="c")})
    after = await made.get(KEY)
    assert after is not None and not after.outdated
    assert plugin.asked["Encrypt"] == 2


async def test_a_plugin_that_is_not_healthy_is_told_of(plugin: KmsPlugin) -> None:
    made = await storage(plugin, MemoryStorage())
    assert encryption.plugins_health(made) is None
    plugin.health = "the vault is closed"
    await encryption.prime(made.transformers)
    assert encryption.plugins_health(made) == "expected healthz status to be ok, got 'the vault is closed'"
    plugin.health, plugin.version = "ok", "v1"
    with pytest.raises(PluginError, match="expected KMS API version v2, got 'v1'"):
        await encryption.prime(made.transformers, strict=True)


async def test_without_the_plugin_nothing_is_written_and_reads_tell_why(tmp_path: Path) -> None:
    inner = MemoryStorage()
    async with KmsPlugin(tmp_path / "kms.sock") as plugin:
        made = await storage(plugin, inner)
        await made.commit({}, puts={KEY: secret(a="b")})
    late = await storage(plugin, inner)
    with pytest.raises(
        Unavailable, match="the value cannot be encrypted: kms plug-in mine: Status of unix://"
    ):
        await late.commit({}, puts={"/registry/secrets/ns/b": secret(a="b")})
    read = await late.get(KEY)
    assert read is not None and read.error.startswith("failed to decrypt DEK, error: Decrypt of unix://")
    async with KmsPlugin(tmp_path / "kms.sock") as again:
        again.keys = plugin.keys
        read = await late.get(KEY)
        assert read is not None and read.value == secret(a="b")


async def test_a_seed_is_written_with_for_minutes_after_the_plugin_was_seen(plugin: KmsPlugin) -> None:
    now = 0.0
    provider = KmsProvider(Plugin("mine", plugin.endpoint, 3.0), clock=lambda: now)
    await provider.refresh()
    now = WRITE_SECONDS
    provider.write(b"x", b"k")
    now += 1
    with pytest.raises(Exception, match="its key expired"):
        provider.write(b"x", b"k")
    await provider.refresh()
    assert provider.read(provider.write(b"x", b"k"), b"k").value == b"x"


@pytest.mark.parametrize(
    ("kms", "told"),
    [
        ({"name": "a", "endpoint": "unix:///a"}, "unsupported apiVersion v1 for KMS provider, only v2"),
        ({"apiVersion": "v2", "endpoint": "unix:///a"}, "kms.name: Required value"),
        ({"apiVersion": "v2", "name": "a:b", "endpoint": "unix:///a"}, 'invalid name: contains ":"'),
        ({"apiVersion": "v2", "name": "a", "endpoint": "http://a"}, "only unix:// is supported"),
        ({"apiVersion": "v2", "name": "a", "endpoint": "unix:///a", "cachesize": 5}, "not supported in v2"),
        ({"apiVersion": "v2", "name": "a", "endpoint": "unix:///a", "timeout": "soon"}, "positive duration"),
        ({"apiVersion": "v2", "name": "a", "endpoint": "unix:///a", "keys": []}, "unknown field"),
    ],
)
def test_wrong_configurations_are_refused(kms: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(configuration(**kms))
    assert told in str(caught.value)
