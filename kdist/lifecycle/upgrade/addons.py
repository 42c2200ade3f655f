"""The cluster's own workloads before an upgrade, and back to them.

Their pod templates are kept in the journal: images are named by version, so the templates are what a version is.
Permissions and configuration stay as the newer version has them, which is a superset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.lifecycle.workloads import ROLLING, missing, until_whole

VERSION = "kdist.io/version"


def templates(workloads: Iterable[Obj]) -> list[dict[str, Any]]:
    """What is kept of the workloads that belong to a release: kind, key and pod template."""
    return [
        {"kind": item["kind"], "key": meta.key(item), "template": item["spec"]["template"]}
        for item in workloads
        if item["kind"] in ROLLING
        and VERSION in (item["spec"]["template"]["metadata"].get("annotations") or {})
    ]


async def put_back(client: Client, kept: Iterable[Mapping[str, Any]], *, timeout: float = 120) -> int:
    """Give workloads their templates again, one after the other; how many differed. Raises ApiError and Unreachable.

    One that was not whole before is not waited for: this may be what mends it.
    """
    changed = 0
    for one in kept:
        kind, (namespace, name) = ROLLING[one["kind"]], one["key"].split("/")
        found = await client.get(kind, name, namespace)
        if found["spec"]["template"] == one["template"]:
            continue
        patch = [{"op": "replace", "path": "/spec/template", "value": one["template"]}]
        await client.patch(kind, name, patch, namespace, type="json")
        changed += 1
        if missing(found) is None:
            await until_whole(client, kind, name, namespace, timeout)
    return changed
