"""Data of a membership that has ended: out of the way, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from kdist.lifecycle.etcd import staticpod
from kdist.lifecycle.etcd.staticpod import Places

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def with_data(data: Path, content: str) -> Places:
    (data / "member").mkdir(parents=True)
    (data / "member/db").write_text(content)
    return Places(data=data)


def test_data_that_is_put_aside_pushes_out_what_was_put_aside_before(tmp_path: Path) -> None:
    for days in (9, 6, 3):
        staticpod.set_aside(with_data(tmp_path, f"{days} days old"), NOW - timedelta(days=days))
    target = Path(staticpod.set_aside(with_data(tmp_path, "new"), NOW))
    assert [target] == list(tmp_path.iterdir())
    assert (target / "db").read_text() == "new"


def test_a_directory_that_somebody_else_named_alike_stays(tmp_path: Path) -> None:
    (tmp_path / "member.ended-badly").mkdir()
    staticpod.set_aside(with_data(tmp_path, "old"), NOW - timedelta(days=9))
    staticpod.set_aside(with_data(tmp_path, "new"), NOW)
    assert (tmp_path / "member.ended-badly").is_dir()


def test_nothing_is_put_aside_where_there_is_no_data(tmp_path: Path) -> None:
    assert staticpod.set_aside(Places(data=tmp_path), NOW) == ""
