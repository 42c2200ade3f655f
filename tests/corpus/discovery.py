"""What a server says it serves: ``python -m tests.corpus.discovery KUBECONFIG`` writes upstream's answer down."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson

from tests.corpus import openapi
from tests.corpus.transport import Call, Https, Transport

EXPECTED = Path(__file__).parent / "expected" / "discovery.json"
#: The documents as they are, while the custom resources of ``definitions.yaml`` are served.
DOCUMENTS = Path(__file__).parent / "expected" / "discovery_documents.json"
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_LEGACY = "application/json"


async def ask(transport: Transport) -> dict[str, dict[str, Any]]:
    """Every resource by group, version and name, as the lists of resources tell it."""
    found: dict[str, dict[str, Any]] = {}
    groups = (await transport.send(Call("GET", "/apis", accept=_LEGACY))).body["groups"]
    versions = [v["groupVersion"] for group in groups for v in group["versions"]]
    for path in ("/api/v1", *(f"/apis/{version}" for version in versions)):
        for told in (await transport.send(Call("GET", path, accept=_LEGACY))).body["resources"]:
            fields = {k: v for k, v in told.items() if v and k not in ("name", "storageVersionHash")}
            for field in ("verbs", "shortNames", "categories"):
                if field in fields:
                    fields[field] = sorted(fields[field])
            fields["hashed"] = "storageVersionHash" in told
            found[f"{path.removeprefix('/apis/').removeprefix('/api/')}/{told['name']}"] = fields
    return found


async def documents(transport: Transport) -> dict[str, list[Any]]:
    """The aggregated and the classic documents, whole and in order, a line for each group and resource."""
    found = {}
    for version in ("v2", "v2beta1"):
        for root in ("/api", "/apis"):
            told = await transport.send(Call("GET", root, accept=_AGGREGATED.format(version)))
            found[f"{root} {version}"] = [told.body | {"items": []}, *told.body["items"]]
    groups = (await transport.send(Call("GET", "/apis", accept=_LEGACY))).body
    found["/apis"] = [groups | {"groups": []}, *groups["groups"]]
    paths = [f"/apis/{v['groupVersion']}" for group in groups["groups"] for v in group["versions"]]
    for path in ("/api/v1", *paths):
        told = (await transport.send(Call("GET", path, accept=_LEGACY))).body
        found[path] = [told | {"resources": []}, *told["resources"]]
    return found


def expected_documents() -> dict[str, list[Any]]:
    """What upstream's server told."""
    kept = orjson.loads(DOCUMENTS.read_bytes())
    for root in ("/api", "/apis"):  # but for their version they are the same
        header, *groups = kept[f"{root} v2"]
        kept[f"{root} v2beta1"] = [{**header, "apiVersion": "apidiscovery.k8s.io/v2beta1"}, *groups]
    return dict(kept)


def expected() -> dict[str, dict[str, Any]]:
    """What upstream's server told."""
    return dict(orjson.loads(EXPECTED.read_bytes()))


async def write_documents(transport: Transport) -> None:
    """Write down what upstream's server tells of everything, custom resources too."""
    await openapi.serve(transport)
    found = await documents(transport)
    for root in ("/api", "/apis"):
        same = [
            {**found[f"{root} v2"][0], "apiVersion": "apidiscovery.k8s.io/v2beta1"},
            *found[f"{root} v2"][1:],
        ]
        assert found.pop(f"{root} v2beta1") == same, f"{root}: v2beta1 is not v2 by another name"
    parts = [f"{orjson.dumps(name).decode()}: {openapi.by_line(part)}" for name, part in found.items()]
    DOCUMENTS.write_text("{\n" + ",\n".join(parts) + "\n}\n")


async def _main(kubeconfig: Path) -> None:
    async with Https(kubeconfig) as transport:
        await write_documents(transport)
        await openapi.stop_serving(transport)
        found = await ask(transport)
    lines = [
        f"{orjson.dumps(name).decode()}: {orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()}"
        for name, fields in sorted(found.items())
    ]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
