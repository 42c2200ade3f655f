"""Pods under feature gates: ``python -m tests.corpus.gated KUBECONFIG`` records what upstream answers.

The server has to run with the gates of the case file, ``--feature-gates=GATE=true,...``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.corpus import facts
from tests.corpus.record import EXPECTED, text
from tests.corpus.resources import CASES
from tests.corpus.transport import Call, Https, Transport

Obj = dict[str, Any]
Facts = dict[str, Any]
_CASE = CASES / "gated" / "pods.yaml"
_EXPECTED = EXPECTED / "gated" / "pods.json"
_NAMESPACE = "/api/v1/namespaces/gated"
_PODS = f"{_NAMESPACE}/pods"
_POD = f"{_PODS}/p"
_DRY = {"dryRun": "All"}
_RUNNING = {
    "name": "a",
    "ready": True,
    "image": "a",
    "imageID": "",
    "restartCount": 0,
    "state": {"running": {}},
}


@dataclass(frozen=True)
class Cases:
    """The case file."""

    gates: dict[str, bool]
    creates: dict[str, Obj]
    resizes: dict[str, list[Obj]]
    steers: dict[str, list[Obj]]


def cases() -> Cases:
    """What is asked, and under which gates."""
    return Cases(**yaml.safe_load(_CASE.read_text()))


def expected() -> dict[str, Facts]:
    """What upstream answered."""
    return dict(orjson.loads(_EXPECTED.read_bytes()))


def _pod(spec: Obj, **more: Any) -> Obj:
    spec = {"containers": [{"name": "a", "image": "a"}], **spec, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def _labelled(pod: Obj) -> Obj:
    return {**pod, "metadata": {"name": "p", "labels": {"a": "b"}}}


async def _asked(transport: Transport) -> AsyncIterator[tuple[str, Call]]:
    """Every request with its name; between them pods come and go."""
    known, send = cases(), transport.send
    for told, spec in known.creates.items():
        yield f"create: {told}", Call("POST", _PODS, _pod(spec), query=_DRY)
    for told, (before, after) in known.resizes.items():
        await send(Call("POST", _PODS, _pod(before)))
        new = _labelled(_pod(after))  # labels are nothing that a resize hears
        resize = Call("PUT", f"{_POD}/resize", new, query=_DRY)
        yield f"resize: {told}", resize
        strategic = "application/strategic-merge-patch+json"
        yield f"resize by patch: {told}", replace(resize, method="PATCH", content_type=strategic)
        yield f"update: {told}", replace(resize, path=_POD)
        status = {"status": {"phase": "Running", "containerStatuses": [_RUNNING]}}
        merge = "application/merge-patch+json"
        await send(Call("PATCH", f"{_POD}/status", status, content_type=merge))
        yield f"resize while it runs: {told}", resize
        await send(Call("DELETE", _POD, query={"gracePeriodSeconds": "0"}))
    for told, (before, after) in known.steers.items():
        gates = [{"name": "example.test/g"}]
        await send(Call("POST", _PODS, _pod(before, schedulingGates=gates)))
        yield f"steer: {told}", Call("PUT", _POD, _pod(after, schedulingGates=gates), query=_DRY)
        await send(Call("DELETE", _POD, query={"gracePeriodSeconds": "0"}))


async def ask(transport: Transport) -> dict[str, Facts]:
    """The facts of every request, by what the request is called."""
    await transport.send(Call("POST", "/api/v1/namespaces", {"metadata": {"name": "gated"}}))
    account = {"metadata": {"name": "default"}}
    await transport.send(Call("POST", f"{_NAMESPACE}/serviceaccounts", account))
    found: dict[str, Facts] = {}
    async for told, call in _asked(transport):
        known = facts.of(await transport.send(call), call.payload.decode())
        if isinstance(body := known.get("body"), dict):
            (body.get("metadata") or {}).pop("managedFields", None)
        found[told] = known
    return found


async def record(kubeconfig: Path) -> None:
    """Write the answers down."""
    async with Https(kubeconfig) as transport:
        found = await ask(transport)
    _EXPECTED.parent.mkdir(exist_ok=True)
    _EXPECTED.write_text(text(found))
    print(f"{len(found)} answers")


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
