"""What a server answers otherwise than expected: ``python -m tests.corpus.compare [--accept] KUBECONFIG [KIND...]``.

``differences.yaml`` lists, by resource, the requests whose answers are known to differ; all others have to be equal,
and none may be on the list that is equal.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.corpus.record import EXPECTED, expected_file
from tests.corpus.resources import Case, Run, all_cases
from tests.corpus.transport import CRASHED, Https

Facts = dict[str, Any]
DIFFERENCES = Path(__file__).parent / "differences.yaml"
_SAYS_NOTHING = "the server rejected our request due to an error in our request"


def expected(case: Case, directory: Path = EXPECTED) -> dict[str, Facts]:
    """The recorded facts of a case; none when it was never recorded."""
    path = expected_file(case, directory)
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}


def known_differences() -> dict[str, list[str]]:
    """The requests whose answers differ, by resource."""
    return dict(yaml.safe_load(DIFFERENCES.read_text()) or {})


def differing(want: dict[str, Facts], have: dict[str, Facts]) -> dict[str, list[str]]:
    """The requests that were answered otherwise, each with a line for each fact."""
    return {
        told: list(lines(want.get(told), have.get(told)))
        for told in {**want, **have}
        if want.get(told) != have.get(told) and not _better(want.get(told), have.get(told))
    }


def _better(want: Facts | None, have: Facts | None) -> bool:
    """Whether upstream has no answer, an error without a reason or one without a text, where this server has."""
    if not want or not have:
        return False
    if want["status"] == CRASHED or (want["status"] == 500 and not want.get("reason")):
        return bool(400 <= have["status"] < 500)
    return want.get("message") == _SAYS_NOTHING and {**want, "message": ""} == {**have, "message": ""}


def lines(want: Any, have: Any, where: str = "") -> Iterator[str]:
    """``path: WANT, not HAVE`` for every place that differs."""
    if isinstance(want, dict) and isinstance(have, dict):
        for key in {**want, **have}:
            if key not in have or key not in want or want[key] != have[key]:
                yield from lines(
                    want.get(key, _ABSENT), have.get(key, _ABSENT), f"{where}.{key}".removeprefix(".")
                )
    elif isinstance(want, list) and isinstance(have, list) and want != have:
        yield from _items(want, have, where)
    elif want != have:
        yield f"{where}: {_shown(want)}, not {_shown(have)}"


_ABSENT = object()


def _items(want: list[Any], have: list[Any], where: str) -> Iterator[str]:
    if len(want) == len(have) and any(isinstance(item, dict) for item in want):
        for at, (one, other) in enumerate(zip(want, have, strict=True)):
            yield from lines(one, other, f"{where}[{at}]")
        return
    missing = [item for item in want if item not in have]
    surplus = [item for item in have if item not in want]
    yield from (f"{where}: missing {_shown(item)}" for item in missing)
    yield from (f"{where}: unexpected {_shown(item)}" for item in surplus)
    if not missing and not surplus:
        yield f"{where}: {_shown(want)}, not {_shown(have)}"


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else orjson.dumps(value).decode()


async def compare(kubeconfig: Path, chosen: list[str], *, accept: bool) -> None:
    """Print what differs, and how much is equal; ``accept`` writes it down as known."""
    total = equal = 0
    known = known_differences()
    async with Https(kubeconfig) as transport:
        for case in all_cases():
            if chosen and case.resource not in chosen:
                continue
            want = expected(case)
            found = differing(want, await Run(case, transport)())
            total, equal = total + len(want), equal + len(want) - len(found)
            known[case.resource] = list(found)
            for told, wrong in found.items():
                print(f"{case.resource}: {told}", *wrong, sep="\n    ")
            print(f"== {case.resource}: {len(want) - len(found)} of {len(want)} equal")
    print(f"== {equal} of {total} equal")
    if accept:
        DIFFERENCES.write_text(yaml.safe_dump({r: known[r] for r in sorted(known) if known[r]}, width=200))


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--accept"]
    asyncio.run(compare(Path(arguments[0]), arguments[1:], accept="--accept" in sys.argv))
