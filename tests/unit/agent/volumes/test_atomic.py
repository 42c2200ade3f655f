"""Files that change all at once."""

from __future__ import annotations

from pathlib import Path

from kdist.agent.volumes import atomic
from kdist.agent.volumes.atomic import File


def test_user_sees_links_into_the_data_directory(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"key": File(b"v", 0o600), "dir/deep": File(b"d")})
    assert (tmp_path / "key").readlink() == Path("..data/key")
    assert (tmp_path / "key").read_bytes() == b"v"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "dir/deep").read_bytes() == b"d"
    assert (tmp_path / "..data").readlink().name.startswith("..2")


def test_same_payload_writes_nothing(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1")})
    before = (tmp_path / "..data").readlink()
    assert not atomic.write(tmp_path, {"a": File(b"1")})
    assert (tmp_path / "..data").readlink() == before


def test_update_replaces_the_link_and_forgets_the_old_files(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1"), "gone": File(b"x")})
    assert atomic.write(tmp_path, {"a": File(b"2")})
    assert (tmp_path / "a").read_bytes() == b"2"
    assert not (tmp_path / "gone").is_symlink()
    assert len([e for e in tmp_path.iterdir() if e.name.startswith("..2")]) == 1


def test_failed_finish_leaves_the_old_files(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1")})

    def refuse(fresh: Path) -> None:
        raise PermissionError(fresh)

    try:
        atomic.write(tmp_path, {"a": File(b"2")}, refuse)
    except PermissionError:
        pass
    assert (tmp_path / "a").read_bytes() == b"1"
    assert len([e for e in tmp_path.iterdir() if e.name.startswith("..2")]) == 1
