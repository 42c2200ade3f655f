"""The support bundle: what somebody else needs to understand what is wrong, without anything secret.

Secrets are never asked for; everything that was collected passes :mod:`redact` before it is written. What could not be
collected is listed in ``missing.txt`` with its reason: hosts or the API being down is why one makes a bundle.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import io
import json
import shlex
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from kdist import __version__
from kdist.api.errors import ApiError
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.care import hostlogs, redact
from kdist.lifecycle.care.doctor import examine
from kdist.lifecycle.care.picture import Picture, take
from kdist.lifecycle.care.status import report
from kdist.lifecycle.operation.api import NoApi, connect
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site

AT_ONCE = 20
HOST_SECONDS = 300
# Never asked for, whatever else an API serves.
SECRET_RESOURCES = {("", "secrets")}
# A cluster of 150,000 pods: as many of a kind as one can look through; that there are more is told.
MOST = 5000


class Archive:
    """A tar.gz that grows file by file, everything redacted on its way in."""

    def __init__(self, path: Path) -> None:
        self._root = path.name.removesuffix(".tar.gz")
        self._tar = tarfile.open(path, "w:gz")  # noqa: SIM115  # closed by close()
        self.missing: list[str] = []
        self.files = 0

    def add(self, name: str, text: str) -> None:
        """A text file."""
        self._write(name, redact.text(text))

    def add_json(self, name: str, data: Any) -> None:
        """Plain data."""
        self._write(name, json.dumps(redact.value(data), indent=1, default=str) + "\n")

    def add_objects(self, name: str, items: list[dict[str, Any]]) -> None:
        """Objects of the API."""
        self._write(name, json.dumps([redact.obj(item) for item in items], indent=1) + "\n")

    def _write(self, name: str, text: str) -> None:
        content = text.encode()
        entry = tarfile.TarInfo(f"{self._root}/{name}")
        entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
        self._tar.addfile(entry, io.BytesIO(content))
        self.files += 1

    def close(self) -> None:
        """Write the list of what is missing, and the end."""
        self._write("missing.txt", "\n".join(self.missing) + "\n" if self.missing else "nothing is missing\n")
        self._tar.close()


async def collect(site: Site, path: Path, hours: int, lines: int, tell: Callable[[str], None]) -> Archive:
    """Write the bundle to ``path``. ``hours`` and ``lines`` limit each log; ``tell`` hears what is done."""
    path.touch(mode=0o600)
    archive = Archive(path)
    try:
        tell("looking at the cluster")
        picture = await take(site)
        _summary(archive, site, picture)
        await asyncio.gather(_hosts(site, archive, hours, lines, tell), _objects(site, archive, tell))
    finally:
        archive.close()
    return archive


def _summary(archive: Archive, site: Site, picture: Picture) -> None:
    findings = examine(picture)
    archive.add_json("status.json", report(picture, findings))
    told = [
        f"{f.severity.value} {f.subject}: {f.finding}\n    why  {f.cause}\n    mend {f.mend}\n"
        for f in findings
    ]
    archive.add("doctor.txt", "".join(told) or "nothing found\n")
    archive.add_json(
        "inventory.json",
        {
            "kdist": __version__,
            "settings": dataclasses.asdict(site.spec.settings),
            "hosts": [dataclasses.asdict(host) for host in site.spec.hosts],
        },
    )
    for host in picture.hosts:
        if host.facts is not None:
            archive.add_json(f"hosts/{host.name}/facts.json", host.facts)
    for journal in site.state.glob("*.json"):
        archive.add(f"operations/{journal.name}", journal.read_text(errors="replace"))


async def _hosts(site: Site, archive: Archive, hours: int, lines: int, tell: Callable[[str], None]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)
    source = inspect.getsource(hostlogs).encode()
    command = f"/usr/bin/python3 - {shlex.quote(json.dumps({'hours': hours, 'lines': lines}))}"

    async def one(name: str) -> None:
        async with turn:
            try:
                files = json.loads(await site.run(name, command, given=source, timeout=HOST_SECONDS))
            except (HostError, ValueError) as error:
                archive.missing.append(str(error))
                tell(f"{name}: {error}")
                return
        for file, text in files.items():
            archive.add(f"hosts/{name}/{file}", text)
        tell(f"{name}: {len(files)} files")

    await asyncio.gather(*(one(name) for name in site.names))


async def _objects(site: Site, archive: Archive, tell: Callable[[str], None]) -> None:
    try:
        async with connect(site) as api:
            archive.add_json("api/version.json", await api.client.request("GET", "/version"))
            for check in ("livez", "readyz"):
                archive.add(
                    f"api/{check}.txt",
                    str(await api.client.request("GET", f"/{check}", params={"verbose": ""})),
                )
            count = 0
            async for name, url in _resources(api.client):
                await _list(api.client, archive, name, url)
                count += 1
            tell(f"API: {count} kinds of objects")
    except (NoApi, Unreachable) as error:
        archive.missing.append(f"API: {error}")
        tell(f"API: {error}")
    except ApiError as error:
        archive.missing.append(f"API: {error.message}")


async def _resources(client: Client) -> AsyncIterator[tuple[str, str]]:
    """Name and URL of every resource that can be listed, in its preferred version."""
    groups: Mapping[str, Any] = await client.request("GET", "/apis")
    roots = [("", "/api/v1")] + [
        (group["name"], f"/apis/{group['preferredVersion']['groupVersion']}") for group in groups["groups"]
    ]
    for group, root in roots:
        try:
            served: Mapping[str, Any] = await client.request("GET", root)
        except ApiError:  # an aggregated server that is down
            continue
        for resource in served["resources"]:
            name = resource["name"]
            if "list" in resource["verbs"] and "/" not in name and (group, name) not in SECRET_RESOURCES:
                yield f"{name}.{group}" if group else name, f"{root}/{name}"


async def _list(client: Client, archive: Archive, name: str, url: str) -> None:
    try:
        page: Mapping[str, Any] = await client.request("GET", url, params={"limit": str(MOST)})
    except ApiError as error:
        archive.missing.append(f"API: {name}: {error.message}")
        return
    kind = page["kind"].removesuffix("List")
    if page["items"]:
        archive.add_objects(f"objects/{name}.json", [{"kind": kind, **item} for item in page["items"]])
    if page["metadata"].get("continue"):
        left = page["metadata"].get("remainingItemCount", "some")
        archive.missing.append(f"API: {name}: only the first {MOST}; {left} more were left out")
