from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kdist.api import meta
from kdist.controllers.job import indexes, plan, policy
from kdist.controllers.job.status import status
from tests.unit.controllers.builders import pod

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRACKED = [plan.TRACKING]


def job(**spec: Any) -> Obj:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    spec = {"completions": 2, "parallelism": 2, "backoffLimit": 1, "template": template, **spec}
    return {"metadata": {"name": "j", "namespace": "ns", "uid": "j"}, "spec": spec, "status": {}}


def step(j: Obj, pods: list[Obj]) -> plan.Standing:
    """One sync: the status is written, then the finalizers of what was written down come off."""
    standing = plan.survey(j, pods)
    j["status"] = status(j, standing, len(standing.active), plan.end(j, standing, NOW), "t")
    for p in standing.release:
        p["metadata"]["finalizers"] = []
    return standing


def test_a_pod_is_counted_once_even_when_it_vanishes() -> None:
    j, done = job(), pod("a", phase="Succeeded", finalizers=TRACKED)
    step(j, [done])
    assert j["status"]["uncountedTerminatedPods"] == {"succeeded": ["uid-a"]}
    step(j, [])
    assert (j["status"]["succeeded"], j["status"]["uncountedTerminatedPods"]) == (1, {})
    step(j, [done])
    assert j["status"]["succeeded"] == 1


def test_a_job_is_complete_when_all_successes_are_counted() -> None:
    j = job()
    pods = [pod(n, phase="Succeeded", finalizers=TRACKED) for n in "ab"]
    step(j, pods)
    assert [c["type"] for c in j["status"]["conditions"]] == ["SuccessCriteriaMet"]
    step(j, pods)
    assert [c["type"] for c in j["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert j["status"]["completionTime"] == "t"


def test_too_many_failures_end_the_job_and_its_pods() -> None:
    j = job()
    pods = [pod(n, phase="Failed", finalizers=TRACKED) for n in "ab"] + [pod("c", finalizers=TRACKED)]
    standing = step(j, pods)
    ending = plan.end(j, standing, NOW)
    assert ending and ending.reason == "BackoffLimitExceeded"
    step(j, pods[:2])
    assert [c["type"] for c in j["status"]["conditions"]] == ["FailureTarget", "Failed"]


def test_as_many_pods_run_as_are_still_needed() -> None:
    assert plan.wanted(job(completions=5, parallelism=3), plan.Standing(succeeded=1)) == 3
    assert plan.wanted(job(completions=5, parallelism=3), plan.Standing(succeeded=4)) == 1
    assert plan.wanted(job(suspend=True), plan.Standing()) == 0
    queue = job(completions=None, parallelism=3)
    assert plan.wanted(queue, plan.Standing()) == 3
    assert plan.wanted(queue, plan.Standing(succeeded=1, active=[pod()])) == 1, "the work is done"


def test_indexes_are_sets_in_a_short_form() -> None:
    assert indexes.render({0, 1, 2, 4, 6, 7}) == "0-2,4,6,7"
    assert indexes.parse("0-2,4,6,7", 7) == {0, 1, 2, 4, 6}
    assert indexes.missing(2, 5, {0, 2}) == [1, 3]


def test_an_indexed_pod_knows_its_number_everywhere() -> None:
    made = plan.pod(job(completionMode="Indexed"), 3)
    assert made["metadata"]["generateName"] == "j-3-"
    assert made["spec"]["hostname"] == "j-3"
    assert made["metadata"]["labels"][indexes.INDEX] == "3"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


@pytest.mark.parametrize(("operator", "code", "action"), [("In", 42, "FailJob"), ("NotIn", 42, "Count")])
def test_the_failure_policy_reads_exit_codes(operator: str, code: int, action: str) -> None:
    failed = pod(phase="Failed")
    failed["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": code}}}]
    rules = [{"action": "FailJob", "onExitCodes": {"operator": operator, "values": [42]}}]
    assert policy.judge({"rules": rules}, failed).action == action


def test_replacements_wait_longer_after_each_failure() -> None:
    last = NOW - timedelta(seconds=5)
    assert [policy.backoff(n, last, NOW) for n in (0, 1, 2, 3, 99)] == [0, 5, 15, 35, 595]


def test_ignored_failures_do_not_count_but_are_let_go() -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "Ready", "status": "False"}]}]
    j = job(podFailurePolicy={"rules": rules})
    lost = pod("a", phase="Failed", ready=False, finalizers=TRACKED)
    standing = step(j, [lost])
    assert standing.failed == 0
    assert meta.get(lost, "metadata.finalizers") == []
