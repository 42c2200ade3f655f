"""emptyDir volumes are made once and sized by the least bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import emptydir, hostpath

MI = 1 << 20


def _pod(*limits: dict[str, str]) -> dict:
    return {
        "spec": {
            "containers": [
                {"name": str(n), "resources": {"limits": amounts}} for n, amounts in enumerate(limits)
            ]
        }
    }


def test_directory_is_open_to_all_and_later_changes_stay(tmp_path: Path) -> None:
    volume = tmp_path / "plugin" / "v"
    emptydir.set_up(volume, {}, {}, {})
    assert volume.stat().st_mode & 0o777 == 0o777
    volume.chmod(0o700)
    emptydir.set_up(volume, {}, {}, {})
    assert volume.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in volume.parent.iterdir()] == ["v"]


def test_memory_is_bounded_by_limit_pod_and_node() -> None:
    node = {"memory": 100 * MI}
    assert emptydir.memory_size(_pod({}), {"sizeLimit": "8Mi"}, node) == 8 * MI
    assert emptydir.memory_size(_pod({"memory": "4Mi"}, {"memory": "2Mi"}), {}, node) == 6 * MI
    assert emptydir.memory_size(_pod({"memory": "4Mi"}, {}), {}, node) == 100 * MI
    assert emptydir.memory_size(_pod({}), {}, {}) is None


def test_huge_pages_need_one_page_size() -> None:
    assert emptydir.page_size(_pod({}), "HugePages-2Mi") == 2 * MI
    assert emptydir.page_size(_pod({"hugepages-1Gi": "1Gi"}), "HugePages") == 1 << 30
    with pytest.raises(VolumeError, match="exactly one page size"):
        emptydir.page_size(_pod({}), "HugePages")


def test_host_paths_are_checked_or_made(tmp_path: Path) -> None:
    hostpath.prepare(tmp_path / "any", "")
    assert not (tmp_path / "any").exists()
    hostpath.prepare(tmp_path / "d", "DirectoryOrCreate")
    hostpath.prepare(tmp_path / "f", "FileOrCreate")
    for path, kind, text in (("f", "Directory", "is not a directory"), ("x", "Socket", "does not exist")):
        with pytest.raises(VolumeError, match=text):
            hostpath.prepare(tmp_path / path, kind)
