"""The Pod Security Standards: what each level refuses, in which words, since when."""

import pytest

from kdist.apiserver.podsecurity import policy
from kdist.apiserver.podsecurity.evaluation import evaluate, told
from kdist.apiserver.podsecurity.policy import LATEST, Standard

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(security=None, *, context=None, annotations=None, name="c", **spec):
    container = {"name": name, "image": "i", "securityContext": security or {}}
    metadata = {"name": "p", "annotations": annotations or {}}
    return {
        "metadata": metadata,
        "spec": {"containers": [container], "securityContext": context or {}, **spec},
    }


def judged(one, level="restricted", minor=LATEST):
    return told(evaluate(one, Standard(level, minor)))


def test_plain_pod_meets_baseline_and_misses_restricted_in_four_ways():
    assert judged(pod(), "baseline") == ""
    assert judged(pod()) == (
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false), "
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )


def test_hardened_pod_meets_restricted():
    assert judged(pod(HARDENED)) == ""


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (pod({"privileged": True}),
         'privileged (container "c" must not set securityContext.privileged=true)'),
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}]),
         'hostPath volumes (volumes "a", "b")'),
        (pod(initContainers=[{"name": "i", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]),
         'hostPort (container "i" uses hostPorts 443, 80)'),
        (pod({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}),
         'non-default capabilities (container "c" must not include "NET_ADMIN" in '
         "securityContext.capabilities.add)"),
        (pod({"procMount": "Unmasked"}),
         'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
        (pod(context={"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
         'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; '
         "user may not be set)"),
        (pod({"seccompProfile": {"type": "Unconfined"}}, context={"seccompProfile": {"type": "Unconfined"}}),
         'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to '
         '"Unconfined")'),
        (pod(context={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_syncookies"}]}),
         "forbidden sysctls (kernel.msgmax)"),
        (pod({"windowsOptions": {"hostProcess": True}}),
         'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)'),
        (pod(annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
         'forbidden AppArmor profile (annotation must not set AppArmor profile type to '
         '"container.apparmor.security.beta.kubernetes.io/c="unconfined"")'),
    ],
)  # fmt: skip
def test_baseline_refuses(one, why):
    assert judged(one, "baseline") == why


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (pod({**HARDENED, "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}),
         'unrestricted capabilities (container "c" must not include "CHOWN" in '
         "securityContext.capabilities.add)"),
        (pod(HARDENED, volumes=[{"name": "v", "nfs": {}}, {"name": "s", "secret": {}}]),
         'restricted volume types (volume "v" uses restricted volume type "nfs")'),
        (pod({**HARDENED, "runAsUser": 0}), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
        (pod({**HARDENED, "runAsNonRoot": False}),
         'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)'),
    ],
)  # fmt: skip
def test_restricted_refuses_more(one, why):
    assert judged(one) == why


def test_rules_hold_from_their_version_on():
    bare = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    assert judged(pod(bare), minor=21) == ""
    assert "unrestricted capabilities" in judged(pod(bare), minor=22)
    keepalive = pod(context={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]})
    assert judged(keepalive, "baseline", 28) == "forbidden sysctls (net.ipv4.tcp_keepalive_time)"
    assert judged(keepalive, "baseline", 29) == ""


def test_windows_pods_need_no_linux_settings():
    assert judged(pod({"runAsNonRoot": True}, os={"name": "windows"})) == ""


def test_labels_become_a_policy():
    label = policy.PREFIX
    read = policy.read({f"{label}enforce": "baseline", f"{label}enforce-version": "v1.24"})
    assert str(read.enforce) == "baseline:v1.24"
    assert read.warn == read.enforce  # nobody said otherwise
    assert str(policy.read({f"{label}enforce": "oops"}).enforce) == "restricted:latest"
    assert [c.field for c in policy.problems({f"{label}warn": "x", f"{label}audit-version": "1"})] == [
        f"metadata.labels[{label}audit-version]",
        f"metadata.labels[{label}warn]",
    ]
