"""Back-off, admission, security contexts."""

import pytest

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.pods import security, sysctls
from kdist.agent.pods.admission import admit
from kdist.agent.pods.backoff import BackOff
from kdist.agent.pods.env import ConfigError


def test_back_off_doubles_to_its_maximum_and_is_forgotten_after_good_times():
    backoff, key, now, delays = BackOff(), ("app", "hash"), 0.0, []
    for _ in range(7):
        delays.append(backoff.remaining(key, now, now))
        now += delays[-1]
        backoff.advance(key, now)
        now += 1
    assert delays == [0, 10, 20, 40, 80, 160, 300]
    assert backoff.remaining(key, now + 601, now + 601) == 0


ALLOCATABLE = {"cpu": 1000, "memory": 1 << 30, "pods": 2}
NODE = {"metadata": {"labels": {"disk": "ssd"}}}


def pod(cpu="100m", port=None, selector=None, **metadata):
    ports = [{"hostPort": port, "containerPort": 80}] if port else []
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": ports}
    return {"metadata": metadata, "spec": {"containers": [container], "nodeSelector": selector or {}}}


@pytest.mark.parametrize(
    ("new", "others", "reason"),
    [
        (pod(), [], None),
        (pod("1"), [pod("1m")], "OutOfcpu"),
        (pod("1"), [{**pod("1"), "status": {"phase": "Succeeded"}}], None),
        (pod(), [pod(), pod()], "OutOfpods"),
        (pod(port=80), [pod(port=80)], "NodePorts"),
        (pod(port=80), [pod(port=81)], None),
        (pod(selector={"disk": "hdd"}), [], "NodeAffinity"),
        (pod("9", annotations={"kubernetes.io/config.source": "file"}), [], None),
    ],
)
def test_a_pod_that_does_not_fit_is_rejected_with_the_reason(new, others, reason):
    refused = admit(new, others, ALLOCATABLE, NODE)
    assert (refused and refused.reason) == reason
    assert (refused and refused.by_node) == (reason and reason == "NodeAffinity")


@pytest.mark.parametrize(("counted", "reason"), [(None, None), ("1", None), ("0", "OutOfexample.com/foo")])
def test_a_resource_of_others_is_taken_from_the_node_and_ignored_where_nobody_counts_it(counted, reason):
    wanted = pod()
    wanted["spec"]["containers"][0]["resources"]["requests"]["example.com/foo"] = "1"
    node = {**NODE, "status": {"allocatable": {"example.com/foo": counted} if counted else {}}}
    refused = admit(wanted, [], ALLOCATABLE, node)
    assert (refused and refused.reason) == reason


@pytest.mark.parametrize(
    ("context", "image", "allowed"),
    [
        ({"runAsNonRoot": True, "runAsUser": 1000}, pb.Image(), True),
        ({"runAsNonRoot": True, "runAsUser": 0}, pb.Image(), False),
        ({"runAsNonRoot": True}, pb.Image(uid=pb.Int64Value(value=1000)), True),
        ({"runAsNonRoot": True}, pb.Image(uid=pb.Int64Value(value=0)), False),
        ({"runAsNonRoot": True}, pb.Image(username="www"), False),
        ({}, pb.Image(), True),
    ],
)
def test_run_as_non_root_is_held(context, image, allowed):
    if allowed:
        security.check_non_root(context, image)
    else:
        with pytest.raises(ConfigError):
            security.check_non_root(context, image)


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("kernel.shm_rmid_forced", {}, None),
        ("net/ipv4/tcp_rmem", {}, None),
        ("kernel.msgmax", {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (
            "net.ipv4.tcp_rmem",
            {"hostNetwork": True},
            'forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host net enabled',
        ),
    ],
)
def test_a_pod_sets_only_sysctls_that_are_its_own(name, more, told):
    security_context = {"sysctls": [{"name": name, "value": "1"}]}
    assert sysctls.refusal({"spec": {"securityContext": security_context, **more}}) == told


def test_a_container_overrides_the_pods_context_field_by_field(tmp_path):
    one = {"name": "c", "securityContext": {"runAsUser": 7, "allowPrivilegeEscalation": False}}
    spec = {"containers": [one], "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3}}
    context = security.container_context({"spec": spec}, one, pb.Image(), tmp_path)
    assert (context.run_as_user.value, context.run_as_group.value) == (7, 2)
    assert list(context.supplemental_groups) == [3]
    assert context.no_new_privs
    assert "/proc/kcore" in context.masked_paths
