"""The default objects of a cluster."""

import copy

from kdist.api import meta
from kdist.api.errors import AlreadyExists, not_found
from kdist.apiserver.bootstrap import ensure_defaults, publish_authorities
from kdist.apiserver.bootstrap.objects import default_objects
from kdist.apiserver.bootstrap.reconcile import completed
from kdist.config.apiserver import ApiServerSettings


class Registry:
    def __init__(self):
        self.objects = {}
        self.writes = 0

    async def get(self, kind, namespace, name):
        try:
            return copy.deepcopy(self.objects[kind, namespace, name])
        except KeyError:
            raise not_found(kind.group, kind.plural, name) from None

    async def create(self, kind, obj):
        key = (kind, meta.namespace(obj) or None, meta.name(obj))
        if key in self.objects:
            raise AlreadyExists("there is one")
        self.writes += 1
        self.objects[key] = obj
        return obj

    async def update(self, kind, obj, *, subresource=None):
        self.writes += 1
        self.objects[kind, meta.namespace(obj) or None, meta.name(obj)] = obj
        return obj


def named(name, kind="ClusterRole"):
    return next(o for o in default_objects() if o["kind"] == kind and meta.name(o) == name)


async def test_a_second_start_writes_nothing():
    registry = Registry()
    await ensure_defaults(registry)
    assert registry.writes == len(default_objects())
    await ensure_defaults(registry)
    assert registry.writes == len(default_objects())


def test_what_was_taken_away_comes_back_and_what_was_added_stays():
    wanted = named("system:basic-user")
    present = copy.deepcopy(wanted)
    own = {"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}
    present["rules"] = [wanted["rules"][0], own]
    rules = completed(present, wanted)["rules"]
    assert own in rules
    assert {
        "verbs": ["create"],
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["selfsubjectreviews"],
    } in rules


def test_an_object_may_be_exempted():
    wanted = named("cluster-admin", "ClusterRoleBinding")
    present = copy.deepcopy(wanted)
    present["subjects"] = []
    assert completed(present, wanted)["subjects"] == wanted["subjects"]
    present["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"
    assert completed(present, wanted) is None


def test_aggregated_roles_are_filled_from_the_start():
    resources = {r for rule in named("admin")["rules"] for r in rule["resources"]}
    assert {"pods", "deployments", "rolebindings", "pods/exec", "endpointslices"} <= resources
    assert not any("rolebindings" in rule["resources"] for rule in named("edit")["rules"])


async def test_aggregated_servers_learn_the_authorities_and_keys_of_others_stay(tmp_path):
    for name in ("ca", "front"):
        (tmp_path / name).write_text(f"{name} pem")
    settings = ApiServerSettings(
        client_ca_file=tmp_path / "ca",
        requestheader_client_ca_file=tmp_path / "front",
        requestheader_allowed_names=("front-proxy-client",),
    )
    registry = Registry()
    await publish_authorities(registry, settings)
    (config_map,) = registry.objects.values()
    assert config_map["data"]["client-ca-file"] == "ca pem"
    assert config_map["data"]["requestheader-allowed-names"] == '["front-proxy-client"]'
    config_map["data"]["other"] = "kept"
    (tmp_path / "ca").write_text("new pem")
    await publish_authorities(registry, settings)
    await publish_authorities(registry, settings)
    (config_map,) = registry.objects.values()
    assert (config_map["data"]["client-ca-file"], config_map["data"]["other"]) == ("new pem", "kept")
    assert registry.writes == 2
