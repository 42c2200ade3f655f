"""Where pods go, and what the user is told when they go nowhere."""

import random

import pytest

from kdist.api.kinds import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Diagnosis, Framework, State
from kdist.scheduler.listers import Listers
from kdist.scheduler.plugins import default_plugins
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.preemption import Preemptor

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
KINDS = (
    NAMESPACES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, POD_DISRUPTION_BUDGETS, REPLICA_SETS,
    REPLICATION_CONTROLLERS, SERVICES, STATEFUL_SETS, STORAGE_CLASSES,
)  # fmt: skip


class Stored(dict):
    def list(self, namespace=None):
        return [o for o in self.values() if namespace in (None, o["metadata"].get("namespace"))]


class Cluster:
    """Nodes and pods, without anything around them."""

    def __init__(self):
        self.cache = Cache()
        self.stores = {kind: Stored() for kind in KINDS}
        listers = Listers(self.stores)
        plugins = default_plugins(self.cache, listers)
        self.framework = Framework(self.cache, plugins, random.Random(1))
        self.preemptor = Preemptor(self.cache, self.framework, listers, random.Random(1))
        self.state = self.diagnosis = None

    def node(self, name, cpu="4", labels=(), taints=(), unschedulable=False, images=()):
        metadata = {"name": name, "labels": {HOST: name, **dict(labels)}}
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "10"}
        status = {"allocatable": allocatable, "images": list(images)}
        spec = {"taints": list(taints), "unschedulable": unschedulable}
        self.cache.set_node({"metadata": metadata, "spec": spec, "status": status})

    def store(self, kind, name, namespace="", **rest):
        key = f"{namespace}/{name}" if namespace else name
        metadata = {"name": name, "namespace": namespace, "uid": name, **rest.pop("metadata", {})}
        self.stores[kind][key] = {"metadata": metadata, **rest}

    def place(self, pod):
        """The chosen node, or None with ``why`` set."""
        self.state, self.diagnosis = State(), Diagnosis(len(self.cache.nodes))
        if not self.framework.pre_filter(pod, self.state, self.diagnosis):
            return None
        feasible = self.framework.filter(pod, self.state, self.diagnosis)
        if not feasible.any():
            return None
        node = self.framework.pick(pod, self.state, feasible)
        self.cache.assume(pod, node)
        return node

    @property
    def why(self):
        return self.diagnosis.text()


numbers = iter(range(10**6))


def pod(labels=None, cpu=None, **spec):
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    container = {"name": "c", "image": "app:1", "resources": resources}
    number = next(numbers)
    metadata = {"name": f"p{number}", "namespace": "ns", "uid": f"u{number}", "labels": labels or {}}
    owners = spec.pop("owners", None)
    if owners:
        metadata["ownerReferences"] = owners
    ports = spec.pop("ports", None)
    if ports:
        container["ports"] = ports
    return PodInfo.parse({"metadata": metadata, "spec": {"containers": [container], **spec}})


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def three(cluster):
    for number in range(3):
        cluster.node(f"n{number}", labels={ZONE: f"z{number % 2}"})
    return cluster


def test_reasons_are_counted_once_per_node_in_the_order_of_the_plugins(cluster):
    cluster.node("small", cpu="1")
    cluster.node("cordoned", unschedulable=True, cpu="1")
    cluster.node("tainted", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    assert cluster.place(pod(cpu="2")) is None
    assert cluster.why == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}, "
        "1 node(s) were unschedulable."
    )


def test_a_cluster_without_nodes_says_so(cluster):
    assert cluster.place(pod()) is None
    assert cluster.why == "no nodes available to schedule pods"


def test_requests_of_assumed_pods_count_and_forgotten_ones_do_not(cluster):
    cluster.node("n", cpu="1")
    first = pod(cpu="600m")
    assert cluster.place(first) == "n"
    assert cluster.place(pod(cpu="600m")) is None
    cluster.cache.forget(first)
    assert cluster.place(pod(cpu="600m")) == "n"


def test_a_node_that_comes_after_its_pods_counts_them(cluster):
    cluster.cache.set_pod(pod(cpu="800m"), "n")
    cluster.node("n", cpu="1")
    assert cluster.place(pod(cpu="500m")) is None
    cluster.cache.remove_node("n")
    cluster.node("n", cpu="2")
    assert cluster.place(pod(cpu="500m")) == "n"


def test_the_emptiest_node_is_preferred(three):
    assert {three.place(pod(cpu="1")) for _ in range(3)} == {"n0", "n1", "n2"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {ZONE: "z1"}}, {"n1"}),
        ({"tolerations": [{"operator": "Exists"}], "nodeName": "n2"}, {"n2"}),
    ],
)
def test_selectors_and_names_bind_a_pod(three, spec, expected):
    assert three.place(pod(**spec)) in expected


def node_affinity(*expressions, fields=()):
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


@pytest.mark.parametrize(
    ("affinity", "feasible"),
    [
        (node_affinity({"key": ZONE, "operator": "NotIn", "values": ["z0"]}), {"n1"}),
        (node_affinity({"key": "size", "operator": "Gt", "values": ["4"]}), {"n2"}),
        (node_affinity({"key": "size", "operator": "DoesNotExist"}), {"n0"}),
        (node_affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["n0"]}]), {"n0"}),
        (node_affinity(), set()),
    ],
)
def test_node_affinity_follows_the_published_operators(cluster, affinity, feasible):
    cluster.node("n0", labels={ZONE: "z0"})
    cluster.node("n1", labels={ZONE: "z1", "size": "4"})
    cluster.node("n2", labels={ZONE: "z0", "size": "16"})
    rows = cluster.framework.filter(pod(affinity=affinity), State())
    assert {cluster.cache.table.names[row] for row in rows.nonzero()[0]} == feasible


def test_a_changed_label_counts_for_pods_judged_before(three):
    wanted = {"nodeSelector": {"disk": "ssd"}}
    assert three.place(pod(**wanted)) is None
    three.node("n1", labels={"disk": "ssd"})
    assert three.place(pod(**wanted)) == "n1"


def test_host_ports_clash_by_protocol_and_address(cluster):
    cluster.node("n")
    port = {"containerPort": 80, "hostPort": 80}
    assert cluster.place(pod(ports=[port])) == "n"
    assert cluster.place(pod(ports=[{**port, "protocol": "UDP"}])) == "n"
    assert cluster.place(pod(ports=[{**port, "hostIP": "10.0.0.1"}])) is None
    assert "1 node(s) didn't have free ports" in cluster.why


def pod_affinity(kind, key=HOST, **labels):
    term = {"topologyKey": key, "labelSelector": {"matchLabels": labels}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_anti_affinity_keeps_apart_both_ways(three):
    alone = {"labels": {"app": "db"}, "affinity": pod_affinity("podAntiAffinity", app="db")}
    assert {three.place(pod(**alone)) for _ in range(3)} == {"n0", "n1", "n2"}
    assert three.place(pod(**alone)) is None
    assert three.why == "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."
    assert three.place(pod(labels={"app": "db"})) is None
    assert three.why == "0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules."


def test_affinity_joins_the_zone_and_the_first_of_a_group_may_start_it(three):
    together = {"labels": {"app": "web"}, "affinity": pod_affinity("podAffinity", ZONE, app="web")}
    zones = {"n0": "z0", "n1": "z1", "n2": "z0"}
    assert len({zones[three.place(pod(**together))] for _ in range(5)}) == 1
    assert three.place(pod(affinity=pod_affinity("podAffinity", app="nobody"))) is None
    assert "3 node(s) didn't match pod affinity rules" in three.why


def spread(key, when="DoNotSchedule", **labels):
    selector = {"matchLabels": labels}
    return [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector}]


def test_hard_spreading_keeps_the_skew(three):
    wanted = {"labels": {"app": "x"}, "topologySpreadConstraints": spread(ZONE, app="x")}
    placed = [three.place(pod(**wanted)) for _ in range(6)]
    assert placed.count("n1") == 3
    three.cache.remove_node("n1")
    three.node("n1", labels={ZONE: "z1"}, unschedulable=True)
    for _ in range(2):
        three.place(pod(**wanted))
    assert three.place(pod(**wanted)) is None
    assert "2 node(s) didn't match pod topology spread constraints" in three.why


def test_replicas_spread_by_default(three):
    three.store(REPLICA_SETS, "rs", "ns", spec={"selector": {"matchLabels": {"app": "x"}}})
    owners = [{"kind": "ReplicaSet", "name": "rs", "controller": True}]
    placed = [three.place(pod(labels={"app": "x"}, owners=owners)) for _ in range(6)]
    assert sorted(placed.count(f"n{n}") for n in range(3)) == [2, 2, 2]


def test_a_pod_prefers_the_node_with_its_image(cluster):
    cluster.node("n0")
    cluster.node("n1", images=[{"names": ["app:1"], "sizeBytes": 1_000_000_000}])
    assert cluster.place(pod()) == "n1"


def claim(cluster, name, **rest):
    spec = {"storageClassName": "local", "accessModes": ["ReadWriteOnce"], **rest.pop("spec", {})}
    spec["resources"] = {"requests": {"storage": "1Gi"}}
    cluster.store(PERSISTENT_VOLUME_CLAIMS, name, "ns", spec=spec, **rest)


def with_claim(name):
    return pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])


def test_claims_hold_a_pod_back_or_direct_it(three):
    assert three.place(with_claim("c")) is None
    assert three.why == '0/3 nodes are available: persistentvolumeclaim "c" not found.'
    three.store(STORAGE_CLASSES, "local", provisioner="kubernetes.io/no-provisioner")
    claim(three, "c")
    three.place(with_claim("c"))
    assert three.why == "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    waits = {"volumeBindingMode": "WaitForFirstConsumer"}
    three.store(STORAGE_CLASSES, "local", provisioner="kubernetes.io/no-provisioner", **waits)
    three.place(with_claim("c"))
    assert "3 node(s) didn't find available persistent volumes to bind" in three.why
    here = {"nodeSelectorTerms": [{"matchExpressions": [{"key": HOST, "operator": "In", "values": ["n2"]}]}]}
    volume = {
        "storageClassName": "local",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "2Gi"},
        "nodeAffinity": {"required": here},
    }
    three.store(PERSISTENT_VOLUMES, "pv", spec=volume, status={"phase": "Available"})
    assert three.place(with_claim("c")) == "n2"
    done = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    claim(three, "bound", spec={"volumeName": "pv"}, metadata=done)
    assert three.place(with_claim("bound")) == "n2"


def test_preemption_takes_the_least_important_victims(three):
    for number, priority in enumerate((50, 10, 30)):
        three.cache.set_pod(pod(cpu="3", priority=priority), f"n{number}")
    important = pod(cpu="3", priority=100)
    assert three.place(important) is None
    used = three.cache.table.used.copy()
    plan, _ = three.preemptor.plan(important, three.state, three.diagnosis)
    assert (plan.node, [v.priority for v in plan.victims]) == ("n1", [10])
    assert (three.cache.table.used == used).all()
    modest = pod(cpu="3", priority=5)
    assert three.place(modest) is None
    plan, why = three.preemptor.plan(modest, three.state, three.diagnosis)
    assert plan is None
    assert why == "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."


def test_preemption_spares_budgets_and_pods_that_need_not_go(cluster):
    cluster.node("n", cpu="4")
    kept, protected = pod(cpu="1", priority=1), pod(labels={"app": "safe"}, cpu="2", priority=0)
    victim = pod(cpu="1", priority=2)
    for other in (kept, protected, victim):
        cluster.cache.set_pod(other, "n")
    budget = {"spec": {"selector": {"matchLabels": {"app": "safe"}}}, "status": {"disruptionsAllowed": 0}}
    cluster.store(POD_DISRUPTION_BUDGETS, "b", "ns", **budget)
    important = pod(cpu="1", priority=100)
    assert cluster.place(important) is None
    plan, _ = cluster.preemptor.plan(important, cluster.state, cluster.diagnosis)
    assert ([v.uid for v in plan.victims], plan.violations) == ([kept.uid], 0)


def test_room_made_for_an_important_pod_is_kept_for_it(cluster):
    cluster.node("n", cpu="1")
    important = pod(cpu="800m", priority=10)
    cluster.cache.nominated[important.uid] = (important, "n")
    assert cluster.place(pod(cpu="500m")) is None
    assert cluster.place(important) == "n"
