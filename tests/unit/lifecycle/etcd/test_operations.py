"""When a restore is refused, and what it says is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kdist.lifecycle.etcd.operations import loss, unfit_for_restore
from kdist.lifecycle.etcd.quorum import Refused
from kdist.lifecycle.etcd.remote import Answer
from kdist.lifecycle.etcd.snapshots import Manifest, SnapshotError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MANIFEST = Manifest(
    cluster="kdist",
    host="cp1",
    reason="schedule",
    time="2026-11-21T09:00:00Z",
    revision=100,
    keys=10,
    size=1,
    etcd="3.4.23",
    kdist="0.1.0",
    api_level="1.32",
    files={"snapshot.db": "0"},
)
SILENT = Answer(None, "no route", reached=False)
BARE = Answer(None, "not found")


def member(revision: int) -> Answer:
    return Answer({"has_data": True, "endpoints": {"1": {"revision": revision}, "2": None}})


def test_bare_hosts_take_a_snapshot() -> None:
    unfit_for_restore({"cp1": BARE, "cp2": BARE}, [], replace=False)


def test_a_host_that_cannot_be_reached_may_run_the_old_cluster() -> None:
    with pytest.raises(Refused, match="cp2 cannot be reached"):
        unfit_for_restore({"cp1": BARE, "cp2": SILENT}, [], replace=True)


def test_data_is_only_given_up_when_it_is_said() -> None:
    with pytest.raises(Refused, match=r"cp1 have etcd data.*--replace"):
        unfit_for_restore({"cp1": member(5)}, ["cp1"], replace=False)
    unfit_for_restore({"cp1": member(5)}, ["cp1"], replace=True)


def test_the_loss_is_counted_where_a_member_still_knows() -> None:
    told = loss(MANIFEST, {"cp1": member(140), "cp2": member(150), "cp3": SILENT}, NOW)
    assert "(3 h old), revision 100" in told
    assert "cp2 has revision 150: the 50 writes after it are lost" in told


def test_the_loss_is_unknown_where_nobody_is_left() -> None:
    assert "nobody is left who knows" in loss(MANIFEST, {"cp1": BARE}, NOW)
    assert "does not say when" in loss(None, {"cp1": BARE}, NOW)


def test_a_manifest_survives_its_document_and_names_what_it_lacks() -> None:
    document: dict[str, Any] = MANIFEST.to_json()
    assert Manifest.from_json(document) == MANIFEST
    assert document["name"] == "20261121T090000Z-r100"
    del document["revision"]
    with pytest.raises(SnapshotError, match="no revision"):
        Manifest.from_json(document)
    with pytest.raises(SnapshotError, match="of kind"):
        Manifest.from_json({"kind": "Bundle"})


def test_names_sort_by_time() -> None:
    later = replace(MANIFEST, time="2026-11-21T10:00:00Z", revision=7)
    assert sorted([later.name, MANIFEST.name]) == [MANIFEST.name, later.name]
