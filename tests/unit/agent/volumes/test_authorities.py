"""Pods see new authorities soon after the host does."""

from pathlib import Path

import pytest

from kdist.agent.volumes.authorities import ROUNDS, follow
from kdist.pki.files import write


class Stopped(Exception):
    pass


async def test_pods_are_refreshed_after_a_change_and_not_without_one(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("old")
    turns = iter(range(20))
    refreshed: list[int] = []
    now = 0

    async def sleep(_: float) -> None:
        nonlocal now
        try:
            now = next(turns)
        except StopIteration:
            raise Stopped from None
        if now == 3:
            write(bundle, b"new", 0o644)

    with pytest.raises(Stopped):
        await follow(bundle, lambda: refreshed.append(now), sleep)
    assert refreshed == [4, 5, 6, 7]
    assert len(ROUNDS) == 4
