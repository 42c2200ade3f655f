import pytest

from kdist.agent.cgroups import Cgroupfs, SystemdSlices, pod_cgroup
from kdist.agent.pods.resources import CgroupLimits, container_limits, oom_score_adj, pod_limits

GIB = 1 << 30


def container(name="c", **resources):
    return {"name": name, "resources": resources}


def pod(*containers, **spec):
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def test_a_container_gets_shares_of_its_request_and_quota_of_its_limit():
    both = container(requests={"cpu": "250m"}, limits={"cpu": "500m", "memory": "64Mi"})
    assert container_limits(both) == CgroupLimits(256, 50_000, 64 << 20)
    assert container_limits(container(limits={"cpu": "1"})).cpu_shares == 1024
    assert container_limits(container()) == CgroupLimits(2, None, None)


def test_a_pod_is_limited_only_where_every_container_is():
    limited = container("a", limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1"})
    assert pod_limits(pod(limited, limited)) == CgroupLimits(2048, 200_000, 2 * GIB)
    assert pod_limits(pod(limited, container("b"))) == CgroupLimits(1024, None, None)


@pytest.mark.parametrize(
    ("resources", "priority", "score"),
    [
        ({}, 0, 1000),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, 0, -997),
        ({"requests": {"memory": "1Gi"}}, 0, 750),
        ({"requests": {"cpu": "1"}}, 0, 999),
        ({"requests": {"memory": "4Gi"}}, 0, 3),
        ({}, 2_000_001_000, -997),
    ],
)
def test_the_more_a_container_may_exceed_its_request_the_sooner_it_is_killed(resources, priority, score):
    one = container(**resources)
    assert oom_score_adj(pod(one, priority=priority), one, 4 * GIB) == score


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262_144, 10_000)])
def test_shares_map_onto_the_scale_of_cgroup_v2(shares, weight):
    assert CgroupLimits(shares).cpu_weight == weight


def test_both_drivers_name_the_same_hierarchy():
    name = pod_cgroup("Burstable", "12-34")
    assert Cgroupfs().parent(name) == "/kubepods/burstable/pod12-34"
    assert SystemdSlices().parent(name) == "kubepods-burstable-pod12_34.slice"
    assert Cgroupfs().parent(pod_cgroup("Guaranteed", "1")) == "/kubepods/pod1"


async def test_cgroupfs_writes_limits_and_removes_what_it_made(tmp_path):
    for controller in ("cpu", "memory"):
        (tmp_path / controller).mkdir()
    driver = Cgroupfs(tmp_path)
    name = pod_cgroup("BestEffort", "u")
    await driver.ensure(name, CgroupLimits())
    directory = tmp_path / "cpu" / "kubepods" / "besteffort" / "podu"
    (directory / "cpu.shares").touch()
    await driver.ensure(name, CgroupLimits(512))
    assert (directory / "cpu.shares").read_text() == "512"
    (directory / "cpu.shares").unlink()  # the kernel's files go with their directory
    await driver.remove(name)
    assert not directory.exists()
