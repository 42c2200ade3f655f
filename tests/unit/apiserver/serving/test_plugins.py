"""A server whose keys a plug-in keeps: it is ready only while that is healthy, and serves what it can read."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from kdist.storage.encryption import PluginError
from tests.unit.apiserver.serving.conftest import served
from tests.unit.storage.kmsplugin import KmsPlugin

SECRETS = "/api/v1/namespaces/default/secrets"


async def test_readyz_tells_of_a_plugin_that_is_not_healthy(tmp_path: Path) -> None:
    async with KmsPlugin(tmp_path / "kms.sock") as plugin:
        kms = {"apiVersion": "v2", "name": "mine", "endpoint": plugin.endpoint}
        config = tmp_path / "encryption.yaml"
        rule = {"resources": ["secrets"], "providers": [{"kms": kms}]}
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
        config.write_bytes(orjson.dumps({**head, "resources": [rule]}))
        async with served(encryption_provider_config=config) as api:
            await api.make(SECRETS, {"metadata": {"name": "a"}, "stringData": {"a": "b"}})
            assert (await api("GET", f"{SECRETS}/a")).json["data"] == {"a": "Yg=="}
            assert (await api("GET", "/readyz")).status == 200
            plugin.health = "the vault is closed"
            (asking,) = api.server.core.storage.transformers.asking  # type: ignore[attr-defined]
            with pytest.raises(PluginError, match="the vault is closed"):
                await asking.refresh()
            ready = await api("GET", "/readyz")
            assert ready.status == 500 and b"[-]kms-providers failed" in ready.body
            assert (await api("GET", f"{SECRETS}/a")).status == 200
