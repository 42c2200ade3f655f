"""Units: only what differs is done, and a unit that is still to come is a change when it is wanted."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PLUGIN = Path(__file__).resolve().parents[3] / "plugins" / "modules" / "kdist_unit.py"


@pytest.fixture(scope="module")
def unit() -> ModuleType:
    """The module as Python's own."""
    spec = importlib.util.spec_from_file_location("kdist_unit", PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
