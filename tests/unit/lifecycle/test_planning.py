"""A plan is a run in check mode: each changed task in words, files with what was and what comes."""

from __future__ import annotations

from typing import Any

from kdist.lifecycle import planning
from kdist.lifecycle.operation.runner import Event


def event(result: dict[str, Any] | None, kind: str = "changed") -> Event:
    return Event(kind, "cp1", "runtime : Configure containerd", result=result)


def test_only_changes_are_part_of_a_plan() -> None:
    events = [event({}, "ok"), event(None, "task"), event({"written": ["/etc/a"]}), event({}, "skipped")]
    (change,) = planning.changes(events)
    assert (change.host, change.role, change.task) == ("cp1", "runtime", "Configure containerd")
    assert change.what == ("write /etc/a",)


def test_many_things_are_told_as_a_number() -> None:
    (change,) = planning.changes([event({"installed": list("abcdef")})])
    assert change.what == ("install a, b, c, d and 2 more",)


def test_certificates_come_with_their_reasons() -> None:
    (change,) = planning.changes([event({"reasons": {"kubelet": "missing"}})])
    assert change.what == ("issue kubelet (missing)",)


def test_differences_of_files_are_kept_and_other_forms_are_not() -> None:
    result = {"diff": [{"before": "a", "after": "b", "after_header": "/etc/x"}, {"prepared": "text"}]}
    (change,) = planning.changes([event(result)])
    assert change.diff == ({"path": "/etc/x", "before": "a", "after": "b"},)
    (other,) = planning.changes(
        [event({"diff": {"before": {"state": "absent"}, "after": {"state": "file"}}})]
    )
    assert other.diff == ()


def test_a_task_without_details_is_a_change_all_the_same() -> None:
    (change,) = planning.changes([event({"censored": "no_log"})])
    assert change.what == ()


def test_a_release_and_the_bundle_are_told_in_short() -> None:
    (sent,) = planning.changes([event({"missing": ["a", "b"]})])
    assert sent.what == ("send 2 files",)
    (release,) = planning.changes([event({"version": "0.2.0", "previous": "0.1.0"})])
    assert release.what == ("unpack 0.2.0 beside 0.1.0",)
