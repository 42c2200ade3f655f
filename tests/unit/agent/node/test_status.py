import pytest

from kdist.agent.node.machine import Machine
from kdist.agent.node.status import NodeSpec, allocatable, build, new_node, parse_taint, same
from kdist.agent.pods.host import RuntimeHealth

GIB = 1 << 30
MACHINE = Machine("n1", "amd64", cpus=2, memory=4 * GIB, storage=100 * GIB, hugepages={"hugepages-2Mi": GIB})
SPEC = NodeSpec("n1", MACHINE, ("192.0.2.1",), 10250, 110, reserved={"cpu": 200}, labels={"zone": "a"})
WELL = RuntimeHealth(True, True)


def conditions(status):
    return {c["type"]: c for c in status["conditions"]}


def test_pods_may_use_what_is_not_kept_for_the_host():
    assert allocatable(SPEC) == {
        "cpu": 1800,
        "memory": 3 * GIB - (100 << 20),
        "ephemeral-storage": 90 * GIB,
        "pods": 110,
        "hugepages-2Mi": GIB,
    }


def test_ready_follows_the_runtime_and_its_network():
    ready = build(SPEC, WELL, "2026-01-01T00:00:00Z", {}, [], [])
    assert conditions(ready)["Ready"]["status"] == "True"
    amiss = RuntimeHealth(True, False, network_message="no CNI configuration")
    unready = build(SPEC, amiss, "2026-01-02T00:00:00Z", ready, [], [])
    assert conditions(unready)["Ready"]["reason"] == "KubeletNotReady"
    assert "no CNI configuration" in conditions(unready)["Ready"]["message"]
    assert conditions(unready)["Ready"]["lastTransitionTime"].startswith("2026-01-02")
    assert conditions(unready)["MemoryPressure"]["lastTransitionTime"].startswith("2026-01-01")


def test_a_heartbeat_alone_is_no_change():
    first = build(SPEC, WELL, "2026-01-01T00:00:00Z", {}, [], [])
    second = build(SPEC, WELL, "2026-01-01T00:00:10Z", first, [], [])
    assert same(first, second)
    assert not same(first, {**second, "volumesInUse": ["v"]})


def test_a_node_registers_with_facts_labels_and_taints():
    spec = NodeSpec("n1", MACHINE, ("192.0.2.1",), 10250, 110, taints=(parse_taint("a=b:NoSchedule"),))
    node = new_node(spec, {})
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
    assert node["spec"]["taints"] == [{"key": "a", "value": "b", "effect": "NoSchedule"}]


@pytest.mark.parametrize("text", ["a=b", "a:Never", ":NoSchedule"])
def test_a_malformed_taint_is_refused(text):
    with pytest.raises(ValueError, match="taint"):
        parse_taint(text)
