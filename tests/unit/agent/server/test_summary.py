"""Statistics of a node and its pods."""

from __future__ import annotations

from kdist.agent.interfaces import ContainerUsage, PodUsage
from kdist.agent.server import cadvisor, handlers
from kdist.agent.server.summary import NodeUsage, Rates, resource_metrics, summary
from kdist.agent.server.tunnel import parse_head

SECOND = 1_000_000_000
NODE = NodeUsage(10 * SECOND, SECOND, 5 * SECOND, 100, 80, 900, 50, filesystem={"usedBytes": 1})


def _pod(time: int, cpu: int) -> PodUsage:
    app = ContainerUsage("app", time * SECOND, SECOND, cpu_ns=cpu, memory_working_set=64)
    side = ContainerUsage("side", time * SECOND, SECOND)
    network = {"eth0": {"rx_bytes": 1, "tx_bytes": 2}}
    return PodUsage("ns", "p", "u", [app, side], network=network)


def test_cpu_rates_need_two_looks() -> None:
    rates = Rates()
    first = summary("n", NODE, [_pod(10, 0)], rates)
    assert "usageNanoCores" not in first["pods"][0]["cpu"]
    second = summary("n", NODE, [_pod(12, SECOND)], rates)
    assert second["pods"][0]["cpu"]["usageNanoCores"] == SECOND // 2
    assert second["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] == SECOND // 2


def test_unknown_values_are_left_out() -> None:
    pod = summary("n", NODE, [_pod(10, 1)], Rates())["pods"][0]
    assert pod["memory"] == {"time": "1970-01-01T00:00:10Z", "workingSetBytes": 64}
    assert pod["network"]["rxBytes"] == 1
    assert "usageCoreNanoSeconds" not in pod["containers"][1]["cpu"]


def test_resource_metrics_sum_containers() -> None:
    text = resource_metrics(NODE, [_pod(10, 2 * SECOND)])
    assert 'container_cpu_usage_seconds_total{container="app",namespace="ns",pod="p"} 2.0 10000' in text
    assert 'pod_memory_working_set_bytes{namespace="ns",pod="p"} 64.0 10000' in text
    assert "node_cpu_usage_seconds_total 5.0" in text


def test_container_metrics_have_the_names_of_dashboards() -> None:
    text = cadvisor.metrics(cadvisor.Machine(cpus=2, memory=1024), [_pod(10, 2 * SECOND)])
    assert "machine_cpu_cores 2\n" in text
    cpu = next(line for line in text.splitlines() if line.startswith("container_cpu_usage_seconds_total{"))
    assert 'container="app",cpu="total"' in cpu
    assert cpu.endswith('namespace="ns",pod="p"} 2.0 10000')
    assert "container_memory_rss{" not in text


def test_waiting_container_says_what_it_waits_for() -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {
            "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]
        },
    }
    text = handlers.not_started(pod, "c", previous=False)
    assert text == 'container "c" in pod "p" is waiting to start: ContainerCreating'
    assert "is not available" in handlers.not_started(pod, "x", previous=False)
    assert "previous terminated" in handlers.not_started(pod, "c", previous=True)


def test_response_head_is_parsed() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nX: a: b\r\n\r\n"
    assert parse_head(head) == (101, [("Upgrade", "SPDY/3.1"), ("X", "a: b")])
