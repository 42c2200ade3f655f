"""Units: only what differs is done, one that read old files starts anew, one that is still to come is a change."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.modules.conftest import plugin


@pytest.fixture(scope="module")
def unit() -> ModuleType:
    """The module as Python's own."""
    return plugin("modules/kdist_unit")


RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
}


@pytest.mark.parametrize(
    ("found", "state", "enabled", "steps"),
    [
        ({}, "started", True, []),
        ({}, "restarted", True, ["restart u"]),
        ({"NeedDaemonReload": "yes"}, "restarted", True, ["daemon-reload", "restart u"]),
        ({"ActiveState": "failed"}, "started", True, ["start u"]),
        ({"UnitFileState": "disabled"}, "started", True, ["enable u"]),
        ({}, "stopped", False, ["disable u", "stop u"]),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, "stopped", False, []),
        ({"LoadState": "not-found"}, "started", True, ["enable u", "start u"]),
        ({"LoadState": "not-found"}, "stopped", False, []),
    ],
)
def test_only_what_differs_is_done(
    unit: ModuleType, found: dict[str, str], state: str, enabled: bool, steps: list[str]
) -> None:
    assert [" ".join(step) for step in unit.steps({**RUNNING, **found}, "u", state, enabled)] == steps


@pytest.mark.parametrize(
    ("found", "state", "steps"),
    [
        ({}, "started", ["restart u"]),
        ({}, "restarted", ["restart u"]),
        ({}, "stopped", ["stop u"]),
        ({"ActiveState": "failed"}, "started", ["start u"]),
    ],
)
def test_a_unit_with_old_files_starts_anew_once(
    unit: ModuleType, found: dict[str, str], state: str, steps: list[str]
) -> None:
    assert [" ".join(step) for step in unit.steps({**RUNNING, **found}, "u", state, True, True)] == steps


def test_a_unit_is_stale_when_what_it_reads_changed_after_its_start(unit: ModuleType, tmp_path: Path) -> None:
    """A link counts by itself: what it leads to may be older than the turn to it."""
    started = time.monotonic() - 60
    found = {"ExecMainStartTimestampMonotonic": str(int(started * 1_000_000))}
    old, link, missing = tmp_path / "old", tmp_path / "link", tmp_path / "missing"
    old.touch()
    os.utime(old, (0, time.time() - 120))
    assert not unit.started_before(found, [str(old), str(missing)])
    link.symlink_to(old)
    assert unit.started_before(found, [str(old), str(link)])
    assert not unit.started_before({"ExecMainStartTimestampMonotonic": "0"}, [str(link)])
    assert not unit.started_before({}, [str(link)])
