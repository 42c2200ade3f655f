"""What admission completes and refuses."""

import pytest

from kdist.api.errors import Forbidden, NotFound, not_found
from kdist.api.kinds import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from kdist.apiserver.admission import Request, default_chain
from kdist.apiserver.admission.limitranger import LIMIT_RANGES
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz import Authorizer

USER = User("jane")
NODE = User("system:node:n1", groups=("system:nodes",))
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


class Objects:
    def __init__(self):
        self.objects = {}
        self.put(NAMESPACES, None, "team")
        self.put(SERVICE_ACCOUNTS, "team", "default", imagePullSecrets=[{"name": "registry"}])

    def put(self, kind, namespace, name, metadata=(), **rest):
        meta = {"name": name, "namespace": namespace or "", **dict(metadata)}
        self.objects[kind, namespace, name] = {"metadata": meta, **rest}

    def get(self, kind, namespace, name):
        return self.objects.get((kind, namespace, name))

    def list(self, kind, namespace=None):
        return [o for (k, ns, _), o in self.objects.items() if k == kind and namespace in (None, ns)]

    def on_change(self, kind, callback):
        pass


class Registry:
    def __init__(self, cache):
        self.cache = cache

    async def get(self, kind, namespace, name):
        found = self.cache.get(kind, namespace, name)
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return found


@pytest.fixture
def cache():
    return Objects()


@pytest.fixture
def admit(cache):
    chain = default_chain(cache, Registry(cache), Authorizer(cache))

    async def run(
        resource, obj, *, namespace="team", verb="create", user=USER, old=None, subresource="", name=""
    ):
        request = Request(
            user=user, verb=verb, resource=resource, subresource=subresource, namespace=namespace,
            name=name or (obj or old)["metadata"]["name"], obj=obj, old=old,
        )  # fmt: skip
        await chain.admit(request)
        await chain.validate(request)
        return obj

    return run


def pod(**spec):
    container = {"name": "c", "image": "i"}
    return {"metadata": {"name": "p", "namespace": "team"}, "spec": {"containers": [container], **spec}}


async def test_a_pod_gets_account_token_tolerations_and_priority(admit):
    spec = (await admit(PODS, pod()))["spec"]
    assert spec["serviceAccountName"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(s)) for s in volume["projected"]["sources"]] == [
        "serviceAccountToken", "configMap", "downwardAPI",
    ]  # fmt: skip
    mount = {"name": volume["name"], "readOnly": True, "mountPath": TOKEN_PATH}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert {t["key"]: t["tolerationSeconds"] for t in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 300,
        "node.kubernetes.io/unreachable": 300,
    }
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")


async def test_a_pod_that_wants_no_token_gets_none(admit):
    assert "volumes" not in (await admit(PODS, pod(automountServiceAccountToken=False)))["spec"]


async def test_a_missing_service_account_is_named(admit):
    with pytest.raises(Forbidden, match='serviceaccount "ghost" not found'):
        await admit(PODS, pod(serviceAccountName="ghost"))


async def test_priority_comes_from_the_class(admit, cache):
    cache.put(PRIORITY_CLASSES, None, "high", value=1000, preemptionPolicy="Never")
    spec = (await admit(PODS, pod(priorityClassName="high")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    with pytest.raises(Forbidden, match="no PriorityClass with name low"):
        await admit(PODS, pod(priorityClassName="low"))
    with pytest.raises(Forbidden, match=r"integer value of priority \(7\)"):
        await admit(PODS, pod(priorityClassName="high", priority=7))


async def test_namespaces_must_exist_and_not_be_going_away(admit, cache):
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await admit(PODS, pod(), namespace="nowhere")
    cache.put(NAMESPACES, None, "team", status={"phase": "Terminating"})
    with pytest.raises(Forbidden, match="because it is being terminated") as caught:
        await admit(PODS, pod())
    assert caught.value.causes[0].reason == "NamespaceTerminating"
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        old = {"metadata": {"name": "default"}}
        await admit(NAMESPACES, None, namespace="", verb="delete", old=old)


async def test_limit_ranges_default_and_bound_containers(admit, cache):
    limits = {
        "type": "Container",
        "default": {"cpu": "500m"},
        "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "1"},
        "min": {"memory": "64Mi"},
    }
    cache.put(LIMIT_RANGES, "team", "l", spec={"limits": [limits]})
    asked = pod()
    asked["spec"]["containers"][0]["resources"] = {"requests": {"memory": "64Mi"}}
    done = await admit(PODS, asked)
    assert done["spec"]["containers"][0]["resources"] == {
        "requests": {"memory": "64Mi", "cpu": "100m"},
        "limits": {"cpu": "500m"},
    }
    assert done["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    )
    greedy = pod()
    greedy["spec"]["containers"][0]["resources"] = {
        "limits": {"cpu": "2"},
        "requests": {"cpu": "2", "memory": "1Ki"},
    }
    with pytest.raises(Forbidden) as caught:
        await admit(PODS, greedy)
    assert "minimum memory usage per Container is 64Mi, but request is 1Ki" in caught.value.message
    assert "maximum cpu usage per Container is 1, but limit is 2" in caught.value.message


async def test_claims_get_the_newest_default_class_and_protection(admit, cache):
    default = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    cache.put(STORAGE_CLASSES, None, "old", {**default, "creationTimestamp": "2020-01-01T00:00:00Z"})
    cache.put(STORAGE_CLASSES, None, "new", {**default, "creationTimestamp": "2021-01-01T00:00:00Z"})
    claim = {"metadata": {"name": "c"}, "spec": {}}
    done = await admit(PERSISTENT_VOLUME_CLAIMS, claim)
    assert done["spec"]["storageClassName"] == "new"
    assert done["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    unbound = {"metadata": {"name": "d"}, "spec": {"storageClassName": ""}}
    assert (await admit(PERSISTENT_VOLUME_CLAIMS, unbound))["spec"]["storageClassName"] == ""


async def test_claims_grow_only_where_the_class_allows_it(admit, cache):
    cache.put(STORAGE_CLASSES, None, "fixed")
    cache.put(STORAGE_CLASSES, None, "elastic", allowVolumeExpansion=True)

    def claim(size, name):
        spec = {"storageClassName": name, "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": "Bound"}}

    await admit(PERSISTENT_VOLUME_CLAIMS, claim("2Gi", "elastic"), verb="update", old=claim("1Gi", "elastic"))
    with pytest.raises(Forbidden, match="must support resize"):
        await admit(PERSISTENT_VOLUME_CLAIMS, claim("2Gi", "fixed"), verb="update", old=claim("1Gi", "fixed"))


async def test_new_nodes_are_not_ready_and_agents_stay_on_their_own(admit, cache):
    node = {"metadata": {"name": "n1"}}
    made = await admit(NODES, node, namespace="", user=NODE)
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    with pytest.raises(Forbidden, match='not allowed to modify node "n2"'):
        await admit(NODES, {"metadata": {"name": "n2"}}, namespace="", user=NODE)
    labelled = {"metadata": {"name": "n1", "labels": {"node-restriction.kubernetes.io/a": "b"}}}
    with pytest.raises(Forbidden, match="not allowed to modify labels"):
        await admit(NODES, labelled, namespace="", user=NODE, verb="update", old={"metadata": {"name": "n1"}})
    with pytest.raises(Forbidden, match="can only create mirror pods"):
        await admit(PODS, pod(nodeName="n1"), user=NODE)
    mirror = pod(nodeName="n1")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    mirror["metadata"]["ownerReferences"] = [owner]
    cache.put(NODES, None, "n1", {"uid": "u"})
    assert "serviceAccountName" not in (await admit(PODS, mirror, user=NODE))["spec"]
