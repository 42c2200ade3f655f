"""The operations that are about the server, not about objects: discovery, version, token keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdist.apiserver.openapi.naming import camel, tag
from kdist.apiserver.openapi.operations import FORMS, META, Operation

_JSON = ("application/json",)


def _told(path: str, identifier: str, description: str, tagged: str, answer: str) -> Operation:
    name = f"{META}.{answer}"
    return Operation(path, "get", identifier, description, tagged, answer=name, consumes=FORMS)


def of_server() -> Iterator[Operation]:
    """What every server tells, each with a document of its own."""
    yield _told("/api/", "getCoreAPIVersions", "get available API versions", tag(""), "APIVersions")
    yield _told("/apis/", "getAPIVersions", "get available API versions", "apis", "APIGroupList")
    yield Operation(
        "/version/",
        "get",
        "getCodeVersion",
        "get the version of the server",
        "version",
        answer="io.k8s.apimachinery.pkg.version.Info",
        consumes=_JSON,
        produces=_JSON,
    )
    yield Operation(
        "/.well-known/openid-configuration/",
        "get",
        "getServiceAccountIssuerOpenIDConfiguration",
        "get the OpenID configuration of the issuer of service account tokens",
        "WellKnown",
        consumes=(),
        produces=_JSON,
    )
    yield Operation(
        "/openid/v1/jwks/",
        "get",
        "getServiceAccountIssuerOpenIDKeyset",
        "get the public keys of service account tokens",
        "openid",
        consumes=(),
        produces=("application/jwk-set+json",),
    )


def of_groups(groups: Iterable[str]) -> Iterator[Operation]:
    """What versions each named group has."""
    for group in groups:
        name = f"get{camel(group)}APIGroup"
        yield _told(f"/apis/{group}/", name, "get information of a group", tag(group), "APIGroup")


def of_version(root: str, group: str, version: str) -> Operation:
    """What resources a group has in a version; ``root`` is the path of both."""
    name = f"get{camel(group)}{version.capitalize()}APIResources"
    return _told(f"{root}/", name, "get available resources", tag(group, version), "APIResourceList")
