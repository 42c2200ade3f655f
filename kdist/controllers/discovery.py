"""What the API server serves right now, custom resources included, in each resource's preferred version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kdist.api.errors import ApiError
from kdist.api.kinds import Kind
from kdist.client.rest import Client

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A resource and what can be done with it."""

    kind: Kind
    verbs: frozenset[str]


@dataclass(slots=True)
class Catalog:
    """Everything served; ``failures`` tells which groups did not answer, so that absence proves nothing."""

    resources: list[Served] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


async def discover(client: Client) -> Catalog:
    """Ask the server. Raises ApiError or Unreachable when it does not answer at all."""
    catalog = Catalog()
    for path in ("/api", "/apis"):
        answer = await client.request("GET", path, accept=_AGGREGATED)
        if answer.get("kind") == "APIGroupDiscoveryList":
            _read_aggregated(answer, catalog)
        elif path == "/api":
            await _read_version(client, "", "v1", catalog)
        else:
            for group in answer.get("groups") or ():
                await _read_version(client, group["name"], group["preferredVersion"]["version"], catalog)
    return catalog


def _read_aggregated(answer: Any, catalog: Catalog) -> None:
    for group in answer.get("items") or ():
        name = group["metadata"].get("name") or ""
        seen: set[str] = set()
        for version in group.get("versions") or ():  # the preferred one comes first
            if version.get("freshness") == "Stale":
                catalog.failures[f"{name}/{version['version']}"] = "stale GroupVersion discovery"
            for resource in version.get("resources") or ():
                plural = resource["resource"]
                if plural in seen:
                    continue
                seen.add(plural)
                namespaced = resource.get("scope") == "Namespaced"
                about = resource.get("responseKind") or {}
                kind = Kind(name, version["version"], plural, about.get("kind") or "", namespaced)
                catalog.resources.append(Served(kind, frozenset(resource.get("verbs") or ())))


async def _read_version(client: Client, group: str, version: str, catalog: Catalog) -> None:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    try:
        answer = await client.request("GET", path)
    except ApiError as error:
        catalog.failures[f"{group}/{version}"] = str(error)
        return
    for resource in answer.get("resources") or ():
        if "/" not in resource["name"]:
            kind = Kind(group, version, resource["name"], resource["kind"], bool(resource.get("namespaced")))
            catalog.resources.append(Served(kind, frozenset(resource.get("verbs") or ())))
