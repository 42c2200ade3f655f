"""Writes every object of some resources anew, so that storage has them as the API server writes them today.

Used after the encryption configuration changed. An object is put back unchanged: the server writes it when its
stored form is outdated and leaves it alone when not. A conflict means that another write came first; it is tried
again, because that write may have been another server's which did not know the new key yet.

The journal is written after every page: a run that was interrupted goes on where it stood.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from kdist.api import meta
from kdist.api.errors import Conflict, Expired, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.rest import Client

PAGE = 250  # objects per list request
PARALLEL = 8  # writes under way at once
CONFLICTS = 10  # writes of others in a row before the object is told as failed


class UnknownResource(ValueError):
    """The API does not serve a resource of that name."""


@dataclass
class Tally:
    """What became of a resource's objects."""

    written: int = 0
    current: int = 0
    gone: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many objects were looked at."""
        return self.written + self.current + self.gone + len(self.failed)


@dataclass
class Journal:
    """How far a run is: the resources that are finished, and the last key done of the one under way."""

    resources: list[str]
    done: list[str] = field(default_factory=list)
    after: str = ""

    @classmethod
    def load(cls, path: Path, resources: Sequence[str]) -> Journal:
        """The journal of an interrupted run over the same resources, or a new one. ValueError for another's."""
        if not path.exists():
            return cls(list(resources))
        found = cls(**json.loads(path.read_text()))
        if found.resources != list(resources):
            raise ValueError(
                f"{path} belongs to a run over {', '.join(found.resources)}: "
                "finish that one, or delete the file to begin anew"
            )
        return found

    def save(self, path: Path) -> None:
        """Replace the file in one step."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


async def find(client: Client, name: str) -> Kind:
    """The kind of ``secrets`` or ``deployments.apps`` as the API serves it. UnknownResource."""
    plural, _, group = name.partition(".")
    try:
        version = "v1"
        if group:
            version = (await client.request("GET", f"/apis/{group}"))["preferredVersion"]["version"]
        base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        listed = (await client.request("GET", base))["resources"]
    except NotFound as error:
        raise UnknownResource(f"{name}: the API serves no group {group!r}") from error
    for row in listed:
        if row["name"] == plural and {"list", "update"} <= set(row["verbs"]):
            return Kind(group, version, plural, row["kind"], row["namespaced"])
    raise UnknownResource(f"{name}: the API serves no such resource that can be listed and updated")


# Told after every page: the resource and its tally so far.
Progress = Callable[[str, Tally], None]


async def rewrite(
    client: Client, resources: Sequence[str], journal_path: Path, progress: Progress
) -> dict[str, Tally]:
    """Rewrite the objects of ``resources``; tallies of those that this run worked on. Raises ApiError."""
    journal = Journal.load(journal_path, resources)
    kinds = {name: await find(client, name) for name in resources if name not in journal.done}
    tallies: dict[str, Tally] = {}
    for name, kind in kinds.items():
        tally = tallies[name] = Tally()
        await _rewrite_kind(client, kind, journal, journal_path, partial(progress, name, tally), tally)
        journal.done.append(name)
        journal.after = ""
        journal.save(journal_path)
    if not any(tally.failed for tally in tallies.values()):
        journal_path.unlink(missing_ok=True)
    return tallies


async def _rewrite_kind(
    client: Client,
    kind: Kind,
    journal: Journal,
    journal_path: Path,
    told: Callable[[], None],
    tally: Tally,
) -> None:
    token = ""
    while True:
        try:
            page = await client.list(kind, limit=PAGE, continue_token=token)
        except Expired:  # compacted away meanwhile: list anew, what is done is skipped
            token = ""
            continue
        todo = [obj for obj in page.items if meta.key(obj) > journal.after]  # lists come in the order of keys
        await _rewrite_all(client, kind, todo, tally)
        if todo:
            journal.after = meta.key(todo[-1])
            journal.save(journal_path)
        told()
        token = page.continue_token
        if not token:
            return


async def _rewrite_all(client: Client, kind: Kind, objects: Sequence[Obj], tally: Tally) -> None:
    slots = asyncio.Semaphore(PARALLEL)

    async def one(obj: Obj) -> None:
        async with slots:
            await _rewrite_one(client, kind, obj, tally)

    async with asyncio.TaskGroup() as group:
        for obj in objects:
            group.create_task(one(obj), name=f"rewrite {meta.key(obj)}")


async def _rewrite_one(client: Client, kind: Kind, obj: Obj, tally: Tally) -> None:
    for _ in range(CONFLICTS):
        try:
            stored = await client.update(kind, obj)
        except Conflict:
            try:
                obj = await client.get(kind, meta.name(obj), meta.namespace(obj) or None)
            except NotFound:
                break
            continue
        except NotFound:
            break
        if stored["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
            tally.current += 1
        else:
            tally.written += 1
        return
    else:
        tally.failed.append(f"{meta.key(obj)}: others write it all the time")
        return
    tally.gone += 1
