"""Where objects lie in storage: ``/registry/...``, as etcdctl users know it."""

from __future__ import annotations

ROOT = "/registry/"
# Places that are not simply /registry/PLURAL, by (group, plural).
_PLACES = {
    ("", "nodes"): "minions",
    ("", "services"): "services/specs",
    ("", "endpoints"): "services/endpoints",
    ("", "replicationcontrollers"): "controllers",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("events.k8s.io", "events"): "events",
}
# Groups whose resources lie below the group's name, as custom resources do.
_OWN_FOLDER = {"apiextensions.k8s.io", "apiregistration.k8s.io"}


def prefix(group: str, plural: str, *, custom: bool = False) -> str:
    """The prefix of a resource's keys, with a slash at the end."""
    if custom or group in _OWN_FOLDER:
        return f"{ROOT}{group}/{plural}/"
    return f"{ROOT}{_PLACES.get((group, plural), plural)}/"


def key(resource_prefix: str, namespace: str | None, name: str) -> str:
    """The key of one object."""
    return f"{resource_prefix}{namespace}/{name}" if namespace else resource_prefix + name


def split(resource_prefix: str, key: str) -> tuple[str, str]:
    """(namespace, name) of a key; the namespace is empty for cluster-scoped objects."""
    namespace, _, name = key[len(resource_prefix) :].rpartition("/")
    return namespace, name
