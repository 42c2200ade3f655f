"""ConfigMap kube-system/extension-apiserver-authentication: whom aggregated API servers may believe.

They read from it which CA signs users' certificates, and which CA and headers tell them the user behind a
front proxy, which is what this server is to them.
"""

from __future__ import annotations

import asyncio

import orjson

from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import CONFIG_MAPS
from kdist.apiserver.ports import Obj, Writer
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry import log

_log = log.get(__name__)
NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
ATTEMPTS = 5
LOOK_SECONDS = 5.0  # how often the files are looked at


def published(settings: ApiServerSettings) -> dict[str, str]:
    """The ConfigMap's data; empty when the server has neither CA. OSError for files that cannot be read."""
    data: dict[str, str] = {}
    if settings.client_ca_file is not None:
        data["client-ca-file"] = settings.client_ca_file.read_text()
    if settings.requestheader_client_ca_file is not None:
        lists = {
            "requestheader-allowed-names": list(settings.requestheader_allowed_names),
            "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
            "requestheader-group-headers": ["X-Remote-Group"],
            "requestheader-username-headers": ["X-Remote-User"],
        }
        data["requestheader-client-ca-file"] = settings.requestheader_client_ca_file.read_text()
        data.update({key: orjson.dumps(values).decode() for key, values in lists.items()})
    return data


async def publish(writer: Writer, settings: ApiServerSettings) -> None:
    """Create the ConfigMap or bring it up to date; keys of others stay. Raises the writer's ApiError."""
    data = published(settings)
    if not data:
        return
    for attempt in range(ATTEMPTS):
        try:
            await _write(writer, data)
            return
        except (AlreadyExists, Conflict):  # another server of the cluster starts as well
            if attempt == ATTEMPTS - 1:
                raise


async def keep_published(writer: Writer, settings: ApiServerSettings) -> None:
    """Publish anew whenever the files change, for ever; what fails is tried again."""
    done = published(settings)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            if (now := published(settings)) != done:
                await publish(writer, settings)
                done = now
        except (ApiError, OSError, ValueError) as error:
            _log.warning("cannot publish the client authorities", error=str(error))


async def _write(writer: Writer, data: dict[str, str]) -> None:
    try:
        present = await writer.get(CONFIG_MAPS, NAMESPACE, NAME)
    except NotFound:
        metadata = {"name": NAME, "namespace": NAMESPACE}
        wanted: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        await writer.create(CONFIG_MAPS, wanted)
        return
    have = present.get("data") or {}
    if any(have.get(key) != value for key, value in data.items()):
        await writer.update(CONFIG_MAPS, {**present, "data": {**have, **data}})
