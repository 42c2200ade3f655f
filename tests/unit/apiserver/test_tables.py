"""Tables: ages, and the one word that sums up a pod."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver import tables
from kdist.apiserver.tables.columns import duration

_NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (7 * 3600 + 60, "7h1m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
    ],
)
def test_ages_read_as_kubectl_shows_them(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def _waiting(reason: str) -> dict[str, Any]:
    return {"name": "a", "state": {"waiting": {"reason": reason}}, "restartCount": 2}


_RUNNING = {"name": "a", "ready": True, "state": {"running": {}}, "restartCount": 0}
_INIT_FAILED = {"name": "i", "state": {"terminated": {"exitCode": 3}}}


@pytest.mark.parametrize(
    ("status", "cells"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Running", "containerStatuses": [_RUNNING]}, ["1/1", "Running", "0"]),
        (
            {"phase": "Running", "containerStatuses": [_waiting("CrashLoopBackOff")]},
            ["0/1", "CrashLoopBackOff", "2"],
        ),
        ({"phase": "Pending", "initContainerStatuses": [_INIT_FAILED]}, ["0/1", "Init:ExitCode:3", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
    ],
)
def test_a_pods_status_is_its_most_telling_word(
    scheme: Scheme, status: dict[str, Any], cells: list[str]
) -> None:
    resource = scheme.by_kind("v1", "Pod")
    assert resource is not None
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}
    pod = {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
        "status": status,
    }
    table = tables.render(resource, [pod], "None", _NOW)
    assert table["rows"][0]["cells"][:5] == ["p", *cells, "24h"]


def test_rows_carry_what_includes_object_asks_for(scheme: Scheme) -> None:
    resource = scheme.by_kind("v1", "ConfigMap")
    assert resource is not None
    obj = {"metadata": {"name": "c"}, "data": {"a": "b"}}
    assert tables.render(resource, [obj], "None")["rows"][0]["object"] is None
    assert tables.render(resource, [obj])["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert tables.render(resource, [obj], "Object")["rows"][0]["object"] == obj
