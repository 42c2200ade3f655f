"""How the documents name paths, groups and versions."""

from __future__ import annotations

from kdist.api.resources import Resource

_OWN = ".k8s.io"


def root(resource: Resource) -> str:
    """The path of the resource's group and version."""
    return f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"


def camel(group: str) -> str:
    """``RbacAuthorization`` for ``rbac.authorization.k8s.io``; ``Core`` for the group without a name."""
    return "".join(part[:1].upper() + part[1:] for part in _parts(group))


def tag(group: str, version: str = "") -> str:
    """``rbacAuthorization_v1``: how operations of a group, or of one of its versions, are tagged."""
    words = camel(group)
    return words[:1].lower() + words[1:] + (f"_{version}" if version else "")


def _parts(group: str) -> list[str]:
    return (group.removesuffix(_OWN) or "core").replace("-", ".").split(".")
