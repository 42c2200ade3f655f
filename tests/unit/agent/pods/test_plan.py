"""Plans as tables: a pod, what the runtime has of it, and the actions that follow."""

import pytest

from kdist.agent.pods import spec as specs
from kdist.agent.pods.observed import Container, Observed, Sandbox, State
from kdist.agent.pods.plan import (
    CreateSandbox,
    Facts,
    Failure,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopSandbox,
    Wait,
    plan,
    plan_removal,
    plan_termination,
)


def pod(policy="Always", init=(), names=("app",), sidecars=(), ephemeral=()):
    inits = [{"name": n, "image": "i"} for n in init]
    inits += [{"name": n, "image": "i", "restartPolicy": "Always"} for n in sidecars]
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": inits,
            "containers": [{"name": n, "image": "i"} for n in names],
            "ephemeralContainers": [{"name": n, "image": "i"} for n in ephemeral],
        },
    }


def run(name, state=State.RUNNING, code=0, sandbox="s0", attempt=0, image="i"):
    return Container(
        id=f"{name}-{attempt}",
        name=name,
        sandbox_id=sandbox,
        state=state,
        attempt=attempt,
        hash=specs.container_hash({"name": name, "image": image}),
        exit_code=code,
        created_at=attempt,
    )


def ended(name, code=0, **more):
    return run(name, State.EXITED, code, **more)


def seen(*containers, ready=True, sandboxes=None):
    boxes = sandboxes if sandboxes is not None else (Sandbox("s0", 0, ready, 0),)
    newest_first = tuple(sorted(containers, key=lambda c: -c.created_at))
    return Observed("u", "n", "p", boxes, newest_first)


NOTHING = Observed("u")
CHANGED = "Pod sandbox changed, it will be killed and re-created."

CASES = {
    "a new pod gets its sandbox first": (pod(), NOTHING, [CreateSandbox(0)]),
    "then its containers, all at once": (
        pod(names=("a", "b")),
        seen(),
        [StartContainer("a", 0), StartContainer("b", 0)],
    ),
    "a running pod is left alone": (pod(), seen(run("app")), []),
    "init containers go one by one": (pod(init=("i", "j")), seen(), [StartContainer("i", 0)]),
    "a running init container is waited for": (pod(init=("i", "j")), seen(run("i")), []),
    "the next one follows a success": (pod(init=("i", "j")), seen(ended("i")), [StartContainer("j", 0)]),
    "a failed init container is tried again": (
        pod(init=("i",)),
        seen(ended("i", 1)),
        [StartContainer("i", 1)],
    ),
    "init containers are history once an app container began": (pod(init=("i",)), seen(run("app")), []),
    "a sidecar that has not started holds the rest back": (pod(sidecars=("s",)), seen(run("s")), []),
    "a container that ended is started again": (pod(), seen(ended("app", 1)), [StartContainer("app", 1)]),
    "OnFailure restarts failures only": (
        pod("OnFailure", names=("a", "b")),
        seen(ended("a", 1), ended("b", 0)),
        [StartContainer("a", 1)],
    ),
    "an ephemeral container is started once": (
        pod(ephemeral=("e", "f")),
        seen(run("app"), ended("e")),
        [StartContainer("f", 0)],
    ),
    "a changed image replaces the container": (
        pod(),
        seen(run("app", image="old")),
        [KillContainer("app-0", "app", "Container app definition changed, will be restarted", replaced=True)],
    ),
    "a lost sandbox takes its containers along": (
        pod(),
        seen(run("app"), ready=False),
        [KillContainer("app-0", "app", CHANGED), StopSandbox("s0"), CreateSandbox(1)],
    ),
    "in a new sandbox what had succeeded is not done again": (
        pod("OnFailure", names=("a", "b")),
        seen(ended("a"), ended("b", 1), sandboxes=(Sandbox("s1", 1, True, 1), Sandbox("s0", 0, False, 0))),
        [StartContainer("b", 1)],
    ),
    "only the last two runs are kept": (
        pod(),
        seen(ended("app", 1), ended("app", 1, attempt=1), run("app", attempt=2)),
        [RemoveContainer("app-0")],
    ),
    "an old sandbox goes when nothing is in it": (
        pod(),
        seen(run("app", sandbox="s1"), sandboxes=(Sandbox("s1", 1, True, 1), Sandbox("s0", 0, False, 0))),
        [RemoveSandbox("s0")],
    ),
}


@pytest.mark.parametrize(("desired", "observed", "actions"), CASES.values(), ids=CASES)
def test_plan(desired, observed, actions):
    made = plan(desired, observed, Facts())
    assert list(made.actions) == actions
    assert not made.finished


FINISHED = {
    "every container succeeded": (pod("OnFailure"), seen(ended("app"))),
    "a failure is final with Never": (pod("Never"), seen(ended("app", 1))),
    "a failed init container is final with Never": (pod("Never", init=("i",)), seen(ended("i", 1))),
    "a pod that never restarts is not begun anew after a reboot": (
        pod("Never"),
        seen(ended("app", 255), ready=False),
    ),
}


@pytest.mark.parametrize(("desired", "observed"), FINISHED.values(), ids=FINISHED)
def test_a_pod_has_run_to_its_end(desired, observed):
    assert plan(desired, observed, Facts()).finished


def test_a_sidecar_that_started_lets_the_pod_go_on_and_is_kept_running():
    desired = pod(sidecars=("s",))
    assert plan(desired, seen(run("s")), Facts(started=frozenset({"s"}))).actions == (
        StartContainer("app", 0),
    )
    crashed = seen(ended("s", 1), run("app"))
    assert plan(desired, crashed, Facts()).actions == (StartContainer("s", 1),)


def test_a_container_in_back_off_waits_and_the_others_do_not():
    wait = Wait(7, "CrashLoopBackOff")
    made = plan(pod(names=("a", "b")), seen(ended("a", 1)), Facts(wait={"a": wait}))
    assert made.actions == (StartContainer("b", 0),)
    assert made.waiting == {"a": wait}


def test_a_failed_liveness_probe_kills_with_its_own_grace():
    made = plan(pod(), seen(run("app")), Facts(failing={"app": Failure("liveness", 5)}))
    assert made.actions == (
        KillContainer("app-0", "app", "Container app failed liveness probe, will be restarted", 5),
    )


def test_termination_stops_apps_then_sidecars_backwards_then_the_sandbox():
    desired = pod(names=("a", "b"), sidecars=("s", "t"))
    steps = []
    running = [run("a"), run("b"), run("s"), run("t")]
    while running:
        made = plan_termination(desired, seen(*running))
        killed = [a.name for a in made.actions]
        steps.append(sorted(killed))
        running = [c for c in running if c.name not in killed]
    assert steps == [["a", "b"], ["t"], ["s"]]
    assert plan_termination(desired, seen()).actions == (StopSandbox("s0"),)
    assert plan_termination(desired, seen(ended("a"), ready=False)).finished


def test_removal_leaves_nothing():
    observed = seen(ended("app"), ready=False)
    assert plan_removal(observed).actions == (RemoveContainer("app-0"), RemoveSandbox("s0"))
    assert plan_removal(NOTHING).finished
