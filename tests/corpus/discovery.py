"""What a server says it serves: ``python -m tests.corpus.discovery KUBECONFIG`` writes upstream's answer down."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson

from tests.corpus.transport import Call, Https, Transport

EXPECTED = Path(__file__).parent / "expected" / "discovery.json"
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


def expected() -> dict[str, dict[str, Any]]:
    """What upstream's server told."""
    return dict(orjson.loads(EXPECTED.read_bytes()))


async def _main(kubeconfig: Path) -> None:
    async with Https(kubeconfig) as transport:
        found = await ask(transport)
    lines = [
        f"{orjson.dumps(name).decode()}: {orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()}"
        for name, fields in sorted(found.items())
    ]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
