"""What an API server does besides answering: compaction, and keeping current what files say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from kdist.apiserver import encryption
from kdist.apiserver.bootstrap import clientauthorities
from kdist.apiserver.core import Core
from kdist.apiserver.ports import Writer
from kdist.storage.interface import StorageError
from kdist.telemetry import log

_log = log.get(__name__)


def of(core: Core, writer: Writer) -> dict[str, Coroutine[Any, Any, None]]:
    """The endless works of a server, by name."""
    works: dict[str, Coroutine[Any, Any, None]] = {
        "client-authorities": clientauthorities.keep_published(writer, core.settings)
    }
    if core.settings.encryption_provider_config_automatic_reload:
        works["encryption-config"] = encryption.keep_current(core.hub, core.settings)
    if core.settings.encryption_provider_config is not None:
        works["kms-plugins"] = encryption.follow_plugins(core.hub)
    if core.settings.etcd_compaction_interval > 0:
        works["compaction"] = compact_forever(core, core.settings.etcd_compaction_interval)
    return works


async def compact_forever(core: Core, interval: float) -> None:
    """Every ``interval`` seconds forget what was old an interval ago; several servers do no harm."""
    previous = 0
    while True:
        try:
            newest = await core.storage.current_revision()
            if previous:
                await core.storage.compact(previous)
                core.compacted = previous
            previous = newest
        except StorageError as error:
            _log.warning("compaction failed", error=str(error))
        await asyncio.sleep(interval)
