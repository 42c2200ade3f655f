"""How a host's settings for snapshots are read, and what a node exporter is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.taking import Settings, metrics


def test_settings_of_a_newer_release_are_read_as_far_as_they_are_known(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text('cluster: prod\ndirectory: /backup\nkeep: 3\nlater: true\napi_level: "1.32"\n')
    settings = Settings.load(file)
    assert (settings.cluster, settings.directory, settings.keep) == ("prod", Path("/backup"), 3)


@pytest.mark.parametrize("content", ["", "a: [", "- x"])
def test_settings_that_cannot_be_read_name_their_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(SnapshotError, match=r"settings\.yaml"):
        Settings.load(file)


def test_a_failure_before_the_first_snapshot_is_a_metric_too() -> None:
    text = metrics({"succeeded": False}, [])
    assert "kdist_etcd_snapshot_last_attempt_succeeded 0\n" in text
    assert "# TYPE kdist_etcd_snapshot_kept gauge\nkdist_etcd_snapshot_kept 0\n" in text
