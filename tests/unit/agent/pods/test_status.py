"""Statuses from spec and runtime, as kubectl users know them."""

import pytest

from kdist.agent.pods.observed import Container, Observed, Sandbox, State
from kdist.agent.pods.plan import Wait
from kdist.agent.pods.status import StatusFacts, build, merge
from kdist.api import pods as api_pods

NOW = "2026-01-02T03:04:05Z"


def pod(policy="Always", names=("app",), init=(), status=None, **spec):
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": n, "image": "i"} for n in names],
            "initContainers": [{"name": n, "image": "i"} for n in init],
            **spec,
        },
        "status": status or {},
    }


def run(name="app", state=State.RUNNING, code=0, attempt=0, **more):
    return Container(f"{name}{attempt}", name, "s", state, attempt=attempt, exit_code=code, **more)


def seen(*containers, ready=True):
    return Observed("u", "n", "p", (Sandbox("s", 0, ready, 0, ("10.0.0.9",)),), containers)


def facts(**more):
    return StatusFacts(now=NOW, host_ips=("10.1.0.1",), **more)


EXITED, ALL = State.EXITED, frozenset({"app"})

PHASES = {
    "nothing started": (pod(), Observed("u"), facts(), "Pending"),
    "init under way": (pod(init=("i",)), seen(run("i")), facts(), "Pending"),
    "one of two started": (pod(names=("app", "b")), seen(run()), facts(), "Pending"),
    "running": (pod(), seen(run()), facts(), "Running"),
    "crashed, will restart": (
        pod(),
        seen(run(state=EXITED, code=1)),
        facts(waiting={"app": Wait(5, "CrashLoopBackOff")}),
        "Running",
    ),
    "succeeded": (pod("Never"), seen(run(state=EXITED)), facts(), "Succeeded"),
    "failed": (pod("Never"), seen(run(state=EXITED, code=1)), facts(), "Failed"),
    "failed, but tried again": (pod("OnFailure"), seen(run(state=EXITED, code=1)), facts(), "Running"),
    "init failed for good": (pod("Never", init=("i",)), seen(run("i", EXITED, 1)), facts(), "Failed"),
    "stopped by deletion": (pod(), seen(run(state=EXITED, code=137)), facts(stopped=True), "Failed"),
    "stopped in peace": (pod(), seen(run(state=EXITED)), facts(stopped=True), "Succeeded"),
    "evicted, still running": (pod(), seen(run()), facts(verdict=("Failed", "Evicted", "m")), "Running"),
    "final phases stay": (pod(status={"phase": "Failed"}), seen(), facts(), "Failed"),
}


@pytest.mark.parametrize(("desired", "observed", "given", "phase"), PHASES.values(), ids=PHASES)
def test_phase(desired, observed, given, phase):
    assert build(desired, observed, given)["phase"] == phase


def test_a_ready_pod_has_addresses_and_conditions():
    status = build(pod(), seen(run()), facts(ready=ALL, started=ALL))
    assert (status["podIP"], status["hostIP"], status["startTime"]) == ("10.0.0.9", "10.1.0.1", NOW)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }


def test_a_readiness_gate_of_somebody_else_holds_back_ready_alone():
    desired = pod(readinessGates=[{"conditionType": "x/y"}])
    status = build(desired, seen(run()), facts(ready=ALL))
    ready = api_pods.get_condition({"status": status}, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert api_pods.get_condition({"status": status}, "ContainersReady")["status"] == "True"


def test_a_crash_loop_shows_the_last_end_while_it_waits():
    wait = {"app": Wait(5, "CrashLoopBackOff", "back-off 10s")}
    observed = seen(run(state=EXITED, code=3, attempt=2, reason="Error"))
    (container,) = build(pod(), observed, facts(waiting=wait))["containerStatuses"]
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["restartCount"] == 2


def test_a_container_that_never_ran_is_told_so_once_the_pod_has_stopped():
    (container,) = build(pod(), Observed("u"), facts(stopped=True))["containerStatuses"]
    assert container["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_rejected_pod_shows_its_reason_and_no_containers():
    status = build(pod(), Observed("u"), facts(verdict=("Failed", "OutOfcpu", "m"), rejected=True))
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert "containerStatuses" not in status


def test_everything_of_a_pod_with_init_containers_waits_for_initialization():
    status = build(pod(init=("one", "two")), seen(run("one")), facts())
    waiting = [*status["initContainerStatuses"][1:], *status["containerStatuses"]]
    assert [s["state"]["waiting"]["reason"] for s in waiting] == ["PodInitializing"] * 2


def test_transition_times_move_only_with_the_status():
    first = build(pod(), seen(run()), facts())
    later = StatusFacts(now="2027-01-01T00:00:00Z", ready=ALL)
    second = build(pod(status=first), seen(run()), later)
    times = {c["type"]: c["lastTransitionTime"][:4] for c in second["conditions"]}
    assert (times["Ready"], times["Initialized"]) == ("2027", "2026")


def test_merging_keeps_our_view_and_what_others_wrote():
    own = build(pod(), seen(run()), facts(ready=ALL))
    stale = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}, {"type": "x/y"}]}
    merged = merge(own, stale)
    assert merged["phase"] == "Running"
    assert {c["type"] for c in merged["conditions"]} >= {"Ready", "x/y"}
    assert api_pods.is_ready({"status": merged})
    assert merge(own, {"phase": "Failed", "reason": "NodeLost"})["reason"] == "NodeLost"
