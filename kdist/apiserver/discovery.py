"""Discovery documents: what the server serves, in the classic form and as one aggregated list per root."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from kdist.api.meta import Obj
from kdist.api.resources import Resource, Subresource
from kdist.api.scheme import Scheme

# The versions of each group, both in the order of preference; the core group has the empty name.
Served = Mapping[str, list[str]]
# (group, version) -> its APIVersionDiscovery when another server serves it
Remote = Callable[[str, str], Obj | None]


def aggregated_type(version: str) -> str:
    """The media type of aggregated discovery in a version of its own group."""
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def _nowhere(group: str, version: str) -> None:
    """Nothing is served elsewhere."""


def api_versions(server_address: str) -> Obj:
    """``/api``: the versions of the core group. ``server_address`` is HOST:PORT."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_group_list(served: Served) -> Obj:
    """``/apis``: every named group."""
    groups = [_group(name, versions) for name, versions in served.items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(served: Served, group: str) -> Obj | None:
    """``/apis/GROUP``; None when it is not served."""
    versions = served.get(group)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)} if versions else None


def _group(name: str, versions: list[str]) -> Obj:
    served = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": served, "preferredVersion": served[0]}


def api_resource_list(scheme: Scheme, group: str, version: str) -> Obj | None:
    """``/apis/GROUP/VERSION`` or ``/api/v1``; None when it is not served."""
    resources = scheme.resources_of(group, version)
    if not resources:
        return None
    rows = [row for r in resources for row in (_row(scheme, r), *_subrows(r))]
    header: Obj = {"kind": "APIResourceList"}
    if group:
        header["apiVersion"] = "v1"
    return {**header, "groupVersion": resources[0].api_version, "resources": rows}


def _row(scheme: Scheme, resource: Resource) -> Obj:
    row: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if resource.storage_prefix:
        row["storageVersionHash"] = _storage_version_hash(scheme.stored_as(resource))
    return row


def _names(resource: Resource) -> Obj:
    names: Obj = {}
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    return names


def _storage_version_hash(stored: Resource) -> str:
    digest = hashlib.sha256(f"{stored.group}/{stored.version}/{stored.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subrows(resource: Resource) -> list[Obj]:
    return [
        {
            "name": f"{resource.plural}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            **({} if _same_group(resource, sub) else {"group": sub.group, "version": sub.version}),
            "kind": sub.kind,
            "verbs": list(sub.verbs),
        }
        for sub in resource.subresources.values()
    ]


def _same_group(resource: Resource, sub: Subresource) -> bool:
    return (resource.group, resource.version) == (sub.group, sub.version)


def aggregated(
    scheme: Scheme, served: Served, *, core: bool, remote: Remote = _nowhere, version: str = "v2"
) -> Obj:
    """``/api`` (``core``) or ``/apis`` as one APIGroupDiscoveryList with everything in it.

    ``remote`` answers for the groups and versions that another server serves.
    """
    items = [
        _discovered_group(scheme, name, versions, remote)
        for name, versions in served.items()
        if (not name) is core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _discovered_group(scheme: Scheme, name: str, versions: list[str], remote: Remote) -> Obj:
    metadata: Obj = {"name": name} if name else {}
    return {
        "metadata": {**metadata, "creationTimestamp": None},
        "versions": [remote(name, version) or _own(scheme, name, version) for version in versions],
    }


def _own(scheme: Scheme, group: str, version: str) -> Obj:
    resources = [_discovered(r, whole=scheme.is_custom(r)) for r in scheme.resources_of(group, version)]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _kind(resource: Resource, group: str, version: str, kind: str, *, whole: bool) -> dict[str, str]:
    if not whole and (group, version) == (resource.group, resource.version):
        group = version = ""  # the enclosing group and version are meant
    return {"group": group, "version": version, "kind": kind}


def _discovered(resource: Resource, *, whole: bool) -> Obj:
    """``whole`` kinds have their group and version even where they are the resource's own."""
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource, resource.group, resource.version, resource.kind, whole=whole),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if resource.subresources:
        found["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(resource, sub.group, sub.version, sub.kind, whole=whole),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return found
