"""How many replicas measurements ask for, and how fast they are followed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from kdist.api.errors import NotFound
from kdist.api.kinds import SERVICES
from kdist.controllers.podautoscaler import behavior, measurements, plan
from kdist.controllers.podautoscaler.behavior import History
from kdist.controllers.podautoscaler.measurements import Measurements
from kdist.controllers.podautoscaler.plan import CannotTell, Sample
from kdist.controllers.podautoscaler.proposals import MetricFailed, Proposals, Target

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
LONG_AGO = "2029-12-31T00:00:00Z"


def pod(name, *, ready=True, phase="Running", started=LONG_AGO, since=LONG_AGO, cpu="1"):
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase, "startTime": started, "conditions": [condition]},
    }


def samples(**amounts):
    return {name: Sample(Decimal(a), NOW, timedelta(seconds=30)) for name, a in amounts.items()}


def by_cpu(pods, measured, target=50):
    wanted = plan.requests(pods, "cpu")
    return plan.replicas(
        len(pods), plan.census(pods, measured, "cpu", NOW), measured,
        lambda amounts: plan.utilization(amounts, wanted) / target,
        lambda name: wanted[name] * max(100, target) / 100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "replicas"),
    [("0.5", "0.5", 2), ("0.54", "0.54", 2), ("1", "1", 4), ("0.6", "0.6", 3), ("0.1", "0.1", 1)],
)
def test_replicas_follow_the_ratio_beyond_the_tolerance(a, b, replicas):
    assert by_cpu([pod("a"), pod("b")], samples(a=a, b=b)) == replicas


def test_missing_pods_count_as_idle_when_growing_and_as_full_when_shrinking():
    pods = [pod("a"), pod("b"), pod("c")]
    assert by_cpu(pods, samples(a="1", b="1")) == 4  # 200% / 3 pods, not 400% of two
    assert by_cpu(pods, samples(a="0.2", b="0.2")) == 3  # c might be busy


def test_starting_pods_do_not_make_it_grow():
    young = pod("b", ready=False, started="2030-01-01T11:59:00Z", since="2030-01-01T11:59:30Z")
    assert by_cpu([pod("a"), young], samples(a="0.8", b="9")) == 2


def test_failed_pods_are_ignored():
    assert by_cpu([pod("a"), pod("b", phase="Failed")], samples(a="1", b="9")) == 2


def test_without_samples_or_requests_nothing_can_be_told():
    with pytest.raises(CannotTell, match="did not receive metrics"):
        by_cpu([pod("a")], {})
    with pytest.raises(CannotTell, match="missing request for cpu in container c of Pod a"):
        by_cpu([pod("a", cpu="")], samples(a="1"))


def test_one_value_for_all():
    assert plan.by_value(3, 3, Decimal(40), Decimal(20)) == 6
    assert plan.by_value(0, 0, Decimal(40), Decimal(20)) == 2
    assert plan.by_share(3, Decimal(100), Decimal(30)) == 4
    assert plan.by_share(3, Decimal(92), Decimal(30)) == 3  # within the tolerance


def test_scale_down_waits_for_higher_recommendations_to_age():
    history, spec = History(), {"maxReplicas": 10}
    behavior.stabilized(spec, history, 8, 8, NOW)
    held = behavior.stabilized(spec, history, 8, 2, NOW + timedelta(seconds=299))
    assert (held.replicas, held.reason) == (8, "ScaleDownStabilized")
    assert behavior.stabilized(spec, history, 8, 2, NOW + timedelta(seconds=301)).replicas == 2


def test_default_growth_is_four_pods_or_double_in_fifteen_seconds():
    history, spec = History(), {"maxReplicas": 100}
    assert behavior.limited(spec, history, 1, 50, NOW)[:2] == (5, "ScaleUpLimit")
    history.rescaled(1, 5, NOW)
    assert behavior.limited(spec, history, 5, 50, NOW + timedelta(seconds=10)).replicas == 5
    assert behavior.limited(spec, history, 5, 50, NOW + timedelta(seconds=16)).replicas == 10


def test_policies_and_bounds_of_the_spec():
    down = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    spec = {"minReplicas": 2, "maxReplicas": 6, "behavior": {"scaleDown": down}}
    assert behavior.limited(spec, History(), 5, 2, NOW)[:2] == (4, "ScaleDownLimit")
    assert behavior.limited(spec, History(), 5, 9, NOW)[:2] == (6, "TooManyReplicas")
    down["selectPolicy"] = "Disabled"
    assert behavior.limited(spec, History(), 5, 2, NOW).replicas == 5


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m0s", 60), ("1h1.5s", 3601.5), ("10.5ms", 0.0105)]
)
def test_windows_are_go_durations(text, seconds):
    assert measurements._duration(text) == timedelta(seconds=seconds)


class MetricsServer:
    """Answers the metrics APIs from a dict of paths."""

    def __init__(self, answers):
        self.answers = answers

    async def request(self, method, path, *, params):
        if path not in self.answers:
            raise NotFound("the server could not find the requested resource")
        return {"items": self.answers[path]}


def proposals(answers):
    async def find(_):
        return SERVICES

    return Proposals(Measurements(MetricsServer(answers)), find)


TARGET = Target("ns", "app=web", [pod("a"), pod("b")], 2, 2, NOW)


def usage(name, cpu):
    containers = [{"name": "c", "usage": {"cpu": cpu}}]
    about = {"timestamp": "2030-01-01T12:00:00Z", "window": "30s"}
    return {"metadata": {"name": name}, **about, "containers": containers}


async def test_cpu_utilization_from_the_resource_metrics_api():
    server = proposals(
        {"/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods": [usage("a", "900m"), usage("b", "1")]}
    )
    goal = {"type": "Utilization", "averageUtilization": 50}
    made = await server.of({"type": "Resource", "resource": {"name": "cpu", "target": goal}}, TARGET)
    assert made.replicas == 4
    assert made.current["resource"]["current"] == {"averageUtilization": 95, "averageValue": "950m"}


async def test_metrics_of_objects_and_of_the_outside():
    custom = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/services/web/hits"
    external = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue"
    server = proposals({custom: [{"value": "60"}], external: [{"value": "50"}, {"value": "50"}]})
    whom = {"kind": "Service", "name": "web", "apiVersion": "v1"}
    about = {"describedObject": whom, "metric": {"name": "hits"}, "target": {"type": "Value", "value": "20"}}
    assert (await server.of({"type": "Object", "object": about}, TARGET)).replicas == 6
    about = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "30"}}
    made = await server.of({"type": "External", "external": about}, TARGET)
    assert (made.replicas, made.current["external"]["current"]) == (4, {"averageValue": "50"})


async def test_absent_metrics_api_names_the_metric_and_the_reason():
    goal = {"type": "Utilization", "averageUtilization": 50}
    with pytest.raises(MetricFailed, match="failed to get cpu utilization: the server could not") as failed:
        await proposals({}).of({"type": "Resource", "resource": {"name": "cpu", "target": goal}}, TARGET)
    assert failed.value.reason == "FailedGetResourceMetric"
