"""ComponentStatus: deprecated, still asked for; tells whether storage answers."""

from __future__ import annotations

import asyncio

from kdist.api.meta import Obj
from kdist.apiserver.call import Call
from kdist.apiserver.handlers import selection
from kdist.apiserver.handlers.read import list_object
from kdist.storage.interface import StorageError
from kdist.storage.watchcache import Entry

_NAME = "etcd-0"


async def _statuses(call: Call) -> list[Obj]:
    healthy, message = "True", "ok"
    try:
        async with asyncio.timeout(5.0):
            await call.core.storage.current_revision()
    except (StorageError, TimeoutError) as error:
        healthy, message = "False", str(error) or "timed out"
    condition = {"type": "Healthy", "status": healthy, "message": message}
    return [
        {
            "kind": "ComponentStatus",
            "apiVersion": "v1",
            "metadata": {"name": _NAME, "creationTimestamp": None},
            "conditions": [condition],
        }
    ]


def _entry(status: Obj) -> Entry:
    """What selectors look at."""
    return Entry("", b"", 0, {}, {"metadata.name": status["metadata"]["name"]})


async def list_(call: Call) -> None:
    """Every component."""
    selected = selection.of(call)
    statuses = [s for s in await _statuses(call) if selected.select([_entry(s)])]
    form = call.form
    metadata: Obj = {"resourceVersion": ""}
    listed = call.transform(statuses, form, metadata) if form.kind else list_object(call, statuses, metadata)
    await call.reply_rendered(listed)


async def get(call: Call) -> None:
    """One component."""
    for status in await _statuses(call):
        if status["metadata"]["name"] == call.name:
            await call.reply(status)
            return
    raise call.store.not_found(call.name)
