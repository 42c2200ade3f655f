"""subPath never leaves its volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import subpath


def _where(volume: Path, path: str, *, create: bool = True) -> str:
    with subpath.open_beneath(volume, path, create=create) as descriptor:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_missing_directories_are_made_as_open_as_the_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    assert _where(tmp_path, "a/b") == str(tmp_path / "a/b")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o2777


def test_links_inside_the_volume_are_followed(tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/key").write_text("v")
    (tmp_path / "key").symlink_to("..data/key")
    assert _where(tmp_path, "key") == str(tmp_path / "..2026/key")


@pytest.mark.parametrize("target", ["/etc", "../outside", "/"])
def test_links_out_of_the_volume_are_refused(tmp_path: Path, target: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").mkdir()
    (volume / "link").symlink_to(target)
    for path in ("link", "link/new"):
        with pytest.raises(VolumeError, match="outside"):
            _where(volume, path)
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../../x"])
def test_absolute_and_backward_paths_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(VolumeError, match="relative"):
        _where(tmp_path, path)


def test_read_only_volume_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="does not exist"):
        _where(tmp_path, "a", create=False)
