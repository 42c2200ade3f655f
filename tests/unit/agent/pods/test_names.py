import pytest

from kdist.agent.pods.names import ClusterNames, Resolver, hosts_file, parse_resolv_conf, resolver

HOST = parse_resolv_conf("# c\nnameserver 192.0.2.53\nsearch corp.example.\noptions edns0\n")
CLUSTER = ClusterNames(("10.96.0.10",), "cluster.local", HOST)
SEARCHES = ("n.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")
IN_CLUSTER = Resolver(("10.96.0.10",), SEARCHES, ("ndots:5",))


def pod(**spec):
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, IN_CLUSTER),
        ({"hostNetwork": True}, HOST),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, IN_CLUSTER),
        ({"dnsPolicy": "Default"}, HOST),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["a"]}},
            Resolver(("192.0.2.1",), ("a",)),
        ),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}},
            Resolver(("10.96.0.10",), SEARCHES, ("ndots:2", "edns0")),
        ),
    ],
)
def test_the_resolver_follows_policy_and_config(spec, expected):
    assert resolver(pod(**spec), CLUSTER) == expected


def test_the_hosts_file_has_the_pods_names_and_aliases():
    spec = {"hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["x", "y"]}]}
    text = hosts_file(pod(**spec), ("10.0.0.9",), "cluster.local")
    assert "10.0.0.9\th.s.n.svc.cluster.local\th\n" in text
    assert "192.0.2.9\tx\ty\n" in text


def test_host_network_sees_the_hosts_file_of_the_host():
    text = hosts_file(pod(hostNetwork=True), (), "cluster.local", "127.0.0.1 a\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 a\n"
