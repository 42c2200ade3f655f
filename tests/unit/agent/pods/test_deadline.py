"""A pod's deadline runs from the moment the pod was taken up."""

from __future__ import annotations

from kdist.agent.pods import deadline
from kdist.api import meta

STARTED = "2026-01-01T00:00:00Z"
NOW = meta.parse_time(STARTED).timestamp()


def test_what_is_left_of_a_deadline() -> None:
    pod = {"spec": {"activeDeadlineSeconds": 10}, "status": {"startTime": STARTED}}
    assert deadline.left(pod, NOW + 4) == 6
    assert deadline.left(pod, NOW + 14) == -4


def test_no_deadline_runs_without_one_or_before_the_start() -> None:
    assert deadline.left({"spec": {}, "status": {"startTime": STARTED}}, NOW) is None
    assert deadline.left({"spec": {"activeDeadlineSeconds": 10}}, NOW) is None
