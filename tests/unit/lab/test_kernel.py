"""The machine's limits that all hosts of labs share."""

from pathlib import Path

import pytest

from kdist.lab.kernel import NEEDED, make_room


@pytest.fixture
def proc_sys(tmp_path: Path) -> Path:
    (tmp_path / "fs/inotify").mkdir(parents=True)
    return tmp_path


def setting(proc_sys: Path, name: str) -> Path:
    return proc_sys / name.replace(".", "/")


def test_limits_that_are_too_low_are_raised_and_higher_ones_left(proc_sys: Path) -> None:
    instances, watches = (setting(proc_sys, name) for name in NEEDED)
    instances.write_text("128\n")
    watches.write_text("1048576\n")
    told: list[str] = []
    make_room(told.append, proc_sys)
    assert (instances.read_text(), watches.read_text(), told) == ("8192\n", "1048576\n", [])


def test_a_limit_that_cannot_be_raised_is_told_with_its_cure(proc_sys: Path) -> None:
    told: list[str] = []
    make_room(told.append, proc_sys)
    assert len(told) == len(NEEDED)
    assert all(
        f"sysctl -w {name}={needed}" in line
        for (name, needed), line in zip(NEEDED.items(), told, strict=True)
    )
