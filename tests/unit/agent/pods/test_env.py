import base64

import pytest

from kdist.agent.pods.env import ConfigError, EnvFacts, environment

POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c"}]},
}
FACTS = EnvFacts(
    node_name="node",
    host_ips=("10.1.0.1",),
    pod_ips=("10.0.0.9",),
    allocatable={"cpu": 4000, "memory": 8 << 30},
    services=(
        {
            "metadata": {"name": "my-db", "namespace": "n"},
            "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
        },
        {"metadata": {"name": "other", "namespace": "m"}, "spec": {"clusterIP": "10.96.0.8", "ports": []}},
        {"metadata": {"name": "headless", "namespace": "n"}, "spec": {"clusterIP": "None"}},
    ),
)


class Configs:
    async def config_map(self, namespace, name):
        return {"data": {"k": "v"}} if name == "cm" else None

    async def secret(self, namespace, name):
        return {"data": {"k": base64.b64encode(b"hush").decode()}} if name == "s" else None


def value_from(kind, **ref):
    return {"name": "X", "valueFrom": {kind: ref}}


VALUES = {
    "value": ({"name": "X", "value": "$(A)-$$(A)-$(NONE)"}, "1-$(A)-$(NONE)"),
    "config map": (value_from("configMapKeyRef", name="cm", key="k"), "v"),
    "secret": (value_from("secretKeyRef", name="s", key="k"), "hush"),
    "name": (value_from("fieldRef", fieldPath="metadata.name"), "p"),
    "label": (value_from("fieldRef", fieldPath="metadata.labels['a']"), "b"),
    "pod address": (value_from("fieldRef", fieldPath="status.podIP"), "10.0.0.9"),
    "cpu limit": (value_from("resourceFieldRef", resource="limits.cpu"), "1"),
    "cpu in milli": (value_from("resourceFieldRef", resource="limits.cpu", divisor="1m"), "500"),
    "allocatable without a limit": (
        value_from("resourceFieldRef", resource="limits.memory", divisor="1Gi"),
        "8",
    ),
    "optional and absent": (value_from("secretKeyRef", name="no", key="k", optional=True), None),
}


@pytest.mark.parametrize(("variable", "expected"), VALUES.values(), ids=VALUES)
async def test_values(variable, expected):
    container = {
        "name": "c",
        "env": [{"name": "A", "value": "1"}, variable],
        "resources": {"limits": {"cpu": "500m"}},
    }
    assert (await environment(POD, container, FACTS, Configs())).get("X") == expected


@pytest.mark.parametrize(
    "variable",
    [
        value_from("configMapKeyRef", name="no", key="k"),
        value_from("secretKeyRef", name="s", key="no"),
        value_from("fieldRef", fieldPath="spec.nonsense"),
    ],
)
async def test_what_is_missing_stops_the_container_with_a_reason(variable):
    with pytest.raises(ConfigError):
        await environment(POD, {"name": "c", "env": [variable]}, FACTS, Configs())


async def test_services_of_the_namespace_become_variables():
    env = await environment(POD, {"name": "c"}, FACTS, Configs())
    assert env["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert env["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert env["MY_DB_PORT"] == env["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.7:5432"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in env)


async def test_env_from_prefixes_and_explicit_variables_win():
    container = {
        "name": "c",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}],
        "env": [{"name": "k", "value": "mine"}],
    }
    env = await environment(POD, container, FACTS, Configs())
    assert (env["P_k"], env["k"]) == ("v", "mine")
