"""Requests that follow each other: what one of them changes is what the next one meets.

A file of ``cases/scenarios`` holds scenarios by name. Each has a namespace of its own, ``NAMESPACE`` in its paths, and
steps: what is asked (``told``), ``do`` (``POST PATH``), and perhaps ``body``, ``type`` (merge, json, strategic, apply),
``query``, ``as`` (whom to impersonate), ``until`` (a status to wait for, of what comes by and by), and ``save``, values
of the answer (by their paths) that later steps name as ``$NAME``.

``python -m tests.corpus.scenarios KUBECONFIG [FILE...]`` writes down what a new server of upstream's answers.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from kdist.api import meta
from tests.corpus import facts
from tests.corpus.transport import JSON, Answer, Call, Https, Transport

DIRECTORY = Path(__file__).parent / "cases" / "scenarios"
EXPECTED = Path(__file__).parent / "expected" / "scenarios"
_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_LOOKS, _PAUSE = 300, 0.05  # for what comes by and by: seconds between looks
_SAVED = re.compile(r"\$([a-z]+)")


@dataclass(frozen=True)
class Scenario:
    """One scenario of a file."""

    file: str
    name: str
    labels: dict[str, str]
    steps: tuple[dict[str, Any], ...]

    @property
    def id(self) -> str:
        """``eviction: a budget is kept``."""
        return f"{self.file}: {self.name}"

    @property
    def namespace(self) -> str:
        """The namespace that only this scenario uses."""
        return "s-" + re.sub("[^a-z]+", "-", f"{self.file}-{self.name}".lower())[:50].strip("-")


def scenarios() -> Iterator[Scenario]:
    """All scenarios of all files."""
    for path in sorted(DIRECTORY.glob("*.yaml")):
        for name, content in yaml.safe_load(path.read_text()).items():
            steps = content["steps"] if isinstance(content, dict) else content
            labels = content.get("labels", {}) if isinstance(content, dict) else {}
            yield Scenario(path.stem, name, labels, tuple(steps))


async def play(scenario: Scenario, transport: Transport) -> dict[str, dict[str, Any]]:
    """The facts of every step."""
    space = scenario.namespace
    body = {"metadata": {"name": space, "labels": scenario.labels}}
    await transport.send(Call("POST", "/api/v1/namespaces", body))
    account = {"metadata": {"name": "default"}}
    await transport.send(Call("POST", f"/api/v1/namespaces/{space}/serviceaccounts", account))
    saved: dict[str, Any] = {"namespace": space}
    found: dict[str, dict[str, Any]] = {}
    for step in scenario.steps:
        call = _call(step, saved)
        answer = await _answered(call, transport, step.get("until"))
        if call.method != "GET":  # whoever answers next has seen what was written
            await transport.send(Call("GET", _collection(call.path)))
        for name, path in (step.get("save") or {}).items():
            saved[name] = meta.get(answer.body, path, "") if isinstance(answer.body, dict) else ""
        assert step["told"] not in found, f"{scenario.id}: two steps are called {step['told']!r}"
        found[step["told"]] = _facts(answer, call, saved)
    return found


async def _answered(call: Call, transport: Transport, until: int | None) -> Answer:
    for _ in range(_LOOKS):
        answer = await transport.send(call)
        if until in (None, answer.status):
            return answer
        await asyncio.sleep(_PAUSE)
    raise TimeoutError(f"{call.method} {call.path} is still answered with {answer.status}, not {until}")


def _call(step: dict[str, Any], saved: dict[str, Any]) -> Call:
    method, _, path = step["do"].partition(" ")
    body = step.get("body")
    if body is not None and not isinstance(body, str):
        body = orjson.loads(_filled(orjson.dumps(body).decode(), saved))
    query = {k: _filled(str(v), saved) for k, v in (step.get("query") or {}).items()}
    content_type = _TYPES.get(step.get("type", ""), JSON)
    user = _filled(step.get("as", ""), saved)
    return Call(method, _filled(path, saved), body, query, content_type=content_type, user=user)


def _collection(path: str) -> str:
    """The collection that a path lies in."""
    found = re.match(r"(/api/v1|/apis/[^/]+/[^/]+)(/namespaces/[^/]+(?=/[^/]+))?/[^/]+", path)
    return found[0] if found else path


def _filled(text: str, saved: dict[str, Any]) -> str:
    text = text.replace("NAMESPACE", saved["namespace"])
    return _SAVED.sub(lambda found: str(saved.get(found[1], found[0])), text)


def _facts(answer: Answer, call: Call, saved: dict[str, Any]) -> dict[str, Any]:
    known = facts.of(answer, call.payload.decode())
    body = known.get("body")
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        if not call.content_type.startswith("application/apply"):
            body["metadata"].pop("managedFields", None)
        if finalizers := body["metadata"].get("finalizers"):  # in no order
            body["metadata"]["finalizers"] = sorted(finalizers)
        if body.get("kind") == "Pod":  # what there is to know of a pod's spec, single requests tell
            body["spec"] = {k: v for k, v in body["spec"].items() if k in ("nodeName", "ephemeralContainers")}
    text: str = orjson.dumps(known).decode().replace(saved["namespace"], "NAMESPACE")
    for version in (value for value in saved.values() if str(value).isdigit()):
        text = text.replace(f"in the precondition ({version})", "in the precondition (VERSION)")
    return dict(orjson.loads(text))


def known_differences() -> dict[str, list[str]]:
    """The steps whose answers are known to differ, by scenario."""
    path = Path(__file__).parent / "scenario_differences.yaml"
    return dict(yaml.safe_load(path.read_text()) or {})


def expected(file: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The recorded facts of a file, by scenario."""
    path = EXPECTED / f"{file}.json"
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}


async def record(transport: Transport, files: list[str]) -> None:
    """Write down what a server answers, to all scenarios or those of some files."""
    EXPECTED.mkdir(exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    for scenario in scenarios():
        if files and scenario.file not in files:
            continue
        found.setdefault(scenario.file, {})[scenario.name] = await play(scenario, transport)
    for file, known in found.items():
        lines = [
            f"{orjson.dumps(name).decode()}: {{\n"
            + ",\n".join(
                f"  {orjson.dumps(told).decode()}: {orjson.dumps(step, option=orjson.OPT_SORT_KEYS).decode()}"
                for told, step in steps.items()
            )
            + "\n}"
            for name, steps in known.items()
        ]
        (EXPECTED / f"{file}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


async def _main(kubeconfig: Path, files: list[str]) -> None:
    async with Https(kubeconfig) as transport:
        await record(transport, files)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2:]))
