"""The corpus of one resource: what its case file holds, and the requests that are made of it.

A case file names the resource and its kind, and holds valid objects (``objects``: a minimal one, a maximal one,
others where fields exclude each other), ``creates`` and ``updates`` (merged into one of the objects, each a case of
its own), the ``status`` to write into every object that is stored, and what has to exist ``before``. With
``stored: false`` no object is really created: it would change what other cases see.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from kdist.api.patch import merge
from tests.corpus import facts, vary
from tests.corpus.everywhere import after_storing, before_storing
from tests.corpus.transport import Answer, Call, Transport

Obj = dict[str, Any]
Facts = dict[str, Any]
CASES = Path(__file__).parent / "cases"
DRY = {"dryRun": "All"}
# What the server made up: an update needs none of it.
_SERVERS = ("uid", "creationTimestamp", "managedFields")


@dataclass(frozen=True)
class Case:
    """One case file."""

    resource: str
    kind: str
    objects: dict[str, Obj]
    namespaced: bool = True
    stored: bool = True
    reads: bool = True  # it has objects that can be read; reviews and bindings have none
    varied: tuple[str, ...] = ()  # the objects that are varied; all of them when empty
    status: Obj | None = None
    creates: dict[str, Obj] = field(default_factory=dict)
    updates: dict[str, Obj] = field(default_factory=dict)
    before: tuple[Obj, ...] = ()  # path and body of what has to exist

    @property
    def api_version(self) -> str:
        """``apps/v1``."""
        return self.resource.rpartition("/")[0]

    @property
    def plural(self) -> str:
        """``deployments``."""
        return self.resource.rpartition("/")[2]

    @property
    def namespace(self) -> str:
        """The namespace that only this case uses."""
        return "corpus-" + self.resource.replace("/", "-").replace(".", "-") if self.namespaced else ""

    @property
    def path(self) -> str:
        """Where the objects are created."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        return (
            f"{root}/namespaces/{self.namespace}/{self.plural}"
            if self.namespaced
            else f"{root}/{self.plural}"
        )

    def whole(self, obj: Obj) -> Obj:
        """An object with its type and a name."""
        metadata = {"name": "sample" if self.reads else "", **(obj.get("metadata") or {})}
        return {"apiVersion": self.api_version, "kind": self.kind, **copy.deepcopy(obj), "metadata": metadata}


def load(path: Path) -> Case:
    """The case of a file."""
    content = yaml.safe_load(path.read_text())
    for key in ("varied", "before"):
        content[key] = tuple(content.get(key, ()))
    return Case(**content)


def all_cases() -> list[Case]:
    """The cases of all resources, those with most requests first."""
    files = sorted(p for p in CASES.rglob("*.yaml") if p.parent == CASES)
    return sorted((load(p) for p in files), key=lambda c: -len(orjson.dumps(c.objects)))


class Run:
    """Asks one server everything about one resource."""

    def __init__(self, case: Case, transport: Transport) -> None:
        self._case = case
        self._transport = transport
        self.found: dict[str, Facts] = {}

    async def _ask(self, told: str, call: Call, base: Obj | None = None) -> Answer:
        answer = await self._transport.send(call)
        sent = call.payload.decode()
        known = facts.of(answer, sent)
        if base is not None and isinstance(known.get("body"), dict):
            body = known.pop("body")
            (body.get("metadata") or {}).pop("managedFields", None)
            known["changed"] = facts.difference(base, body)
        assert told not in self.found, f"{self._case.resource}: two requests are called {told!r}"
        self.found[told] = known
        return answer

    async def _prepare(self) -> None:
        send = self._transport.send
        if self._case.namespaced:
            name = self._case.namespace
            await send(Call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
            account = {"metadata": {"name": "default"}}
            await send(Call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account))
        for needed in self._case.before:
            path = needed["path"].replace("NAMESPACE", self._case.namespace)
            answer = await send(Call(needed.get("method", "POST"), path, needed["body"]))
            assert answer.status in (200, 201, 409), f"{self._case.resource} needs {path}: {answer.body}"

    async def __call__(self) -> dict[str, Facts]:
        """The facts of every request, by what the request is called."""
        await self._prepare()
        for name, obj in self._case.objects.items():
            await self._object(name, self._case.whole(obj))
        return self.found

    async def _object(self, name: str, obj: Obj) -> None:
        case, path = self._case, self._case.path
        call = Call("POST", path, obj, query={} if case.stored else DRY)
        varied = not case.varied or name in case.varied
        base = await self._expected_body(obj)
        if varied:
            for told, other in vary.creations(obj):
                await self._ask(f"{name}: create, {told}", Call("POST", path, other, query=DRY), base)
        for told, change in self._of(case.creates, name):
            await self._ask(
                f"{name}: create, {told}", Call("POST", path, merged(obj, change), query=DRY), base
            )
        if case.reads and name == next(iter(case.objects)):
            for told, request in before_storing(case.path, obj):
                await self._ask(f"any: {told}", request, base)
        stored = await self._ask(f"{name}: create", call)
        if not case.stored or stored.status != 201 or "metadata" not in stored.body:
            return
        await self._stored(name, obj, stored.body, base, varied=varied)

    async def _expected_body(self, obj: Obj) -> Obj | None:
        call = Call("POST", self._case.path, obj, query=DRY)
        body = facts.of(await self._transport.send(call), call.payload.decode()).get("body")
        if not isinstance(body, dict):
            return None
        (body.get("metadata") or {}).pop("managedFields", None)
        return body

    def _of(self, changes: dict[str, Obj], name: str) -> list[tuple[str, Obj]]:
        chosen = (
            (told, c) for told, c in changes.items() if c.get("of", next(iter(self._case.objects))) == name
        )
        return [(told, change["merge"]) for told, change in chosen]

    async def _stored(self, name: str, obj: Obj, stored: Obj, base: Obj | None, *, varied: bool) -> None:
        path = f"{self._case.path}/{obj['metadata']['name']}"
        version = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}}
        if varied:
            for told, other in vary.changes(merged(obj, version)):
                await self._ask(f"{name}: update, {told}", Call("PUT", path, other, query=DRY), base)
        for told, change in self._of(self._case.updates, name):
            body = merged(merged(obj, version), change)
            await self._ask(f"{name}: update, {told}", Call("PUT", path, body, query=DRY), base)
        if self._case.status is not None:
            stored = await self._status(name, path, stored, base)
        table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        await self._ask(f"{name}: table", Call("GET", path, accept=table))
        if name == next(iter(self._case.objects)):
            for told, request in after_storing(self._case.path, obj, stored):
                await self._ask(f"any: {told}", request, base)
        # With options in the body those of the query do not count.
        await self._ask(f"{name}: delete", Call("DELETE", path, {"gracePeriodSeconds": 0}, query=DRY))

    async def _status(self, name: str, path: str, stored: Obj, base: Obj | None) -> Obj:
        """Write the status; the object as it is then."""
        body = {**stored, "status": self._case.status, "spec": stored.get("spec", {})}
        body["metadata"] = {k: v for k, v in stored["metadata"].items() if k not in _SERVERS}
        first = name == next(iter(self._case.objects))
        for told, other in vary.changes({"status ": self._case.status}) if first else ():
            changed = {**body, "status": other.get("status ", {})}
            call = Call("PUT", f"{path}/status", changed, query=DRY)
            await self._ask(f"{name}: update status, {told}", call, base)
        answer = await self._ask(f"{name}: update status", Call("PUT", f"{path}/status", body), base)
        return answer.body if answer.status == 200 else stored


def merged(obj: Obj, change: Obj) -> Obj:
    """A merge patch applied to an object."""
    return dict(merge.apply(copy.deepcopy(obj), change))


async def everything(cases: list[Case], transport: Transport) -> AsyncIterator[tuple[Case, dict[str, Facts]]]:
    """The facts of every case, one after the other."""
    for case in cases:
        yield case, await Run(case, transport)()
