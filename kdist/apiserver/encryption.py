"""Encryption at rest in an API server: which storage key is which resource, and the file kept current.

What is encrypted and how is :mod:`kdist.storage.encryption`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import orjson

from kdist.api.errors import BadRequest
from kdist.api.scheme import Scheme
from kdist.apiserver import metrics
from kdist.config.apiserver import ApiServerSettings
from kdist.storage.encryption import (
    ConfigurationError,
    EncryptedStorage,
    PluginError,
    Transformers,
    load,
)
from kdist.storage.hub import ROOT, Hub
from kdist.storage.interface import Storage, StorageError
from kdist.telemetry import log

_log = log.get(__name__)
RELOAD_SECONDS = 10.0  # how often the file is looked at


def around(storage: Storage, settings: ApiServerSettings, scheme: Scheme) -> Storage:
    """The storage with encryption as the settings say. ValueError for a file that cannot be used."""
    path = settings.encryption_provider_config
    if path is None:
        if settings.encryption_provider_config_automatic_reload:
            raise ValueError(
                "--encryption-provider-config-automatic-reload must be used with --encryption-provider-config"
            )
        return storage
    return EncryptedStorage(storage, load(path), resources(scheme), _from_protobuf)


def resources(scheme: Scheme) -> Callable[[str], tuple[str, str] | None]:
    """(group, plural) of a storage key; custom resources lie at /registry/GROUP/PLURAL/."""
    known = {r.storage_prefix: (r.group, r.plural) for r in scheme if r.storage_prefix and not r.stored_as}

    def resource_of(key: str) -> tuple[str, str] | None:
        first = key.find("/", len(ROOT)) + 1
        second = key.find("/", first) + 1
        found = known.get(key[:second]) or known.get(key[:first])
        if found is not None:
            return found
        group, plural = key[len(ROOT) : first - 1], key[first : second - 1]
        return (group, plural) if "." in group and plural else None

    return resource_of


def _from_protobuf(value: bytes) -> bytes:
    """An object that upstream's server stored. ValueError when it is none."""
    from kdist.apiserver import protobuf  # its table is only for storage that had another server

    try:
        return orjson.dumps(protobuf.decode(value))
    except BadRequest as error:
        raise ValueError(error.message) from error


async def keep_current(hub: Hub, settings: ApiServerSettings) -> None:
    """Load the file when it changes; one that cannot be used leaves the old one in force."""
    path, storage = settings.encryption_provider_config, hub.storage
    assert path is not None and isinstance(storage, EncryptedStorage), "checked at the start"
    seen = _content(path)
    _in_force(seen or b"", b"")
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        now = _content(path)
        if now is None or now == seen:
            continue
        before, seen = seen, now
        try:
            transformers = load(path)
            await prime(transformers, strict=True)
            storage.use(transformers)
        except (ConfigurationError, PluginError) as error:
            if isinstance(error, PluginError):
                seen = before  # it may answer the next time
            metrics.ENCRYPTION_RELOADS.at("failure").value += 1
            _log.error("the changed encryption configuration is not used", error=str(error))
            continue
        metrics.ENCRYPTION_RELOADS.at("success").value += 1
        _in_force(now, before or b"")
        _log.info("loaded the changed encryption configuration", path=str(path))
        await _mend(hub)


async def prime(transformers: Transformers, *, strict: bool = False) -> None:
    """Ask the plug-ins for what writing takes. Those that fail are asked again later; PluginError if ``strict``."""
    for asking in transformers.asking:
        try:
            await asking.refresh()
        except PluginError as error:
            if strict:
                raise
            _log.warning("a key management plug-in does not answer yet", error=str(error))


async def start(storage: Storage) -> None:
    """What has to be there before the first object is read."""
    if isinstance(storage, EncryptedStorage):
        await prime(storage.transformers)


async def follow_plugins(hub: Hub) -> None:
    """Keep asking the plug-ins of the file in force, until cancelled."""
    storage = hub.storage
    assert isinstance(storage, EncryptedStorage), "there is a file"
    while True:
        storage.changed.clear()
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(asking.watch(lambda: _mend(hub)), name="kms-plugin")
                for asking in storage.transformers.asking
            ]
            await storage.changed.wait()
            for watch in watches:
                watch.cancel()


def plugins_health(storage: Storage) -> str | None:
    """Why something cannot be encrypted now, or None."""
    if not isinstance(storage, EncryptedStorage):
        return None
    failures = [asking.failure for asking in storage.transformers.asking]
    return "; ".join(failure for failure in failures if failure) or None


def _in_force(now: bytes, before: bytes) -> None:
    """Tell which file is in force: an exchange of keys waits until every server tells the same."""
    metrics.ENCRYPTION_CONFIG.forget(_digest(before))
    metrics.ENCRYPTION_CONFIG.at(_digest(now)).value = 1


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # being replaced
        return None


async def _mend(hub: Hub) -> None:
    """Read again what could not be read without the new keys."""
    for cache in hub.caches():
        for key in cache.broken:
            try:
                stored = await hub.storage.get(key)
            except StorageError as error:
                _log.warning("cannot read an object again", key=key, error=str(error))
                continue
            if stored is not None:
                cache.mend(stored)
