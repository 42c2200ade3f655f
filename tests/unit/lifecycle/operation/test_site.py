"""Reading an inventory as an operator does: by the path of kdist, the virtual environment not being on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdist.lifecycle.operation.site import Site

ROOT = Path(__file__).resolve().parents[4]
SAMPLE = ROOT / "inventory" / "sample"


@pytest.fixture
def bare_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell in which nothing was activated."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


async def test_ansible_is_the_one_beside_kdist(bare_path: None) -> None:
    site = await Site.load(SAMPLE)
    assert site.control_planes


def test_validate_needs_nothing_on_path(bare_path: None) -> None:
    kdist = Path(sys.executable).with_name("kdist")
    done = subprocess.run(
        [kdist, "validate", "-i", str(SAMPLE)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
