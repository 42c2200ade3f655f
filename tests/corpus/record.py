"""Write the answers of a server down as the expected ones: ``python -m tests.corpus.record KUBECONFIG [RESOURCE...]``.

The server has to be new and of the API level 1.32; upstream's needs nothing but etcd.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson

from tests.corpus.resources import Case, Run, all_cases
from tests.corpus.transport import Https

EXPECTED = Path(__file__).parent / "expected"
PARALLEL = 6


def expected_file(case: Case, directory: Path = EXPECTED) -> Path:
    """Where the answers for a case lie."""
    return directory / f"{case.resource.replace('/', '_')}.json"


def text(found: dict[str, Any]) -> str:
    """One request a line, so that a change is readable as a difference."""
    lines = [
        f"{orjson.dumps(told).decode()}: {orjson.dumps(known, option=orjson.OPT_SORT_KEYS).decode()}"
        for told, known in found.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


async def record(kubeconfig: Path, chosen: list[str], directory: Path) -> None:
    """Ask everything, write one file per resource."""
    directory.mkdir(exist_ok=True)
    slots = asyncio.Semaphore(PARALLEL)
    async with Https(kubeconfig) as transport:

        async def one(case: Case) -> None:
            async with slots:
                found = await Run(case, transport)()
            expected_file(case, directory).write_text(text(found))
            print(f"{case.resource}: {len(found)}")

        async with asyncio.TaskGroup() as group:
            for case in all_cases():
                if not chosen or case.resource in chosen:
                    group.create_task(one(case))


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), sys.argv[2:], EXPECTED))
