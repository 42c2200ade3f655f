"""Everything that is no resource: health, metrics, version, discovery, OpenAPI, token keys."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from kdist import __version__
from kdist.api.errors import ApiError
from kdist.api.features import reached, release_of
from kdist.apiserver import answers, debugging, discovery, health, metrics, negotiation, router
from kdist.apiserver.authn.keys import discovery_document
from kdist.apiserver.core import Core
from kdist.apiserver.health import Check
from kdist.apiserver.negotiation import JSON
from kdist.apiserver.openapi import OpenAPI, routes


def version(level: str) -> dict[str, str]:
    """The body of /version: an API level is told as its first patch release of ours."""
    major, minor = level.split(".")
    return {
        "major": major,
        "minor": minor,
        **(_emulation(major, minor) if reached(level, "1.33") else {}),
        "gitVersion": release_of(level),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }


def _emulation(major: str, minor: str) -> dict[str, str]:
    """What servers of 1.33 and later tell of the versions that they can stand beside: one back."""
    return {
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
    }


def build(core: Core, *, live: dict[str, Check], ready: dict[str, Check], address: str) -> FastAPI:
    """The peripheral application. ``live`` and ``ready`` are named health checks."""
    app = FastAPI(
        title="kdist API server",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # behind `kubectl proxy` a redirect would lead past the proxy
    )
    health.install(app, "livez", live)
    health.install(app, "healthz", live)
    health.install(app, "readyz", {**live, **ready})
    debugging.install(app, core)
    _about(app, core)
    _discovery(app, core, address)
    openapi = OpenAPI(core.scheme, core.aggregation.openapi, core.selectable_fields)
    routes.install(app, openapi, core.aggregation.openapi)

    @app.get("/")
    async def paths() -> Response:
        known = sorted({route.path for route in app.routes if "{" not in getattr(route, "path", "{")})  # type: ignore[attr-defined]
        return _json({"paths": known})

    @app.exception_handler(404)
    async def missing(_: Request, __: Exception) -> Response:
        return Response("404 page not found\n", 404, media_type="text/plain; charset=utf-8")

    @app.exception_handler(405)
    async def not_allowed(_: Request, __: Exception) -> Response:
        return _status(router.not_allowed())

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> Response:
        return _status(error)

    return app


def _status(error: ApiError) -> Response:
    return Response(orjson.dumps(error.status()), error.code, media_type=JSON)


def _json(document: Any, **headers: str) -> Response:
    return Response(orjson.dumps(document), media_type=JSON, headers=headers)


def _tagged(request: Request, body: bytes, media_type: str = JSON) -> Response:
    """An answer with an ETag, or 304 when the client has it already."""
    digest = hashlib.sha256(body).hexdigest().upper()
    headers = {"ETag": f'"{digest}"', "Vary": "Accept", "Cache-Control": "public"}
    if routes.has_already(request, digest):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _about(app: FastAPI, core: Core) -> None:
    about = version(core.settings.api_level)
    metrics.BUILD.at(about["major"], about["minor"], about["gitVersion"]).value = 1

    @app.get("/version")
    @app.get("/version/")
    async def told() -> Response:
        return _json(about)

    issuer = core.settings.service_account_issuer[0]

    @app.get("/.well-known/openid-configuration")
    async def openid() -> Response:
        return _json(discovery_document(issuer, f"{issuer}/openid/v1/jwks"))

    @app.get("/openid/v1/jwks")
    async def jwks() -> Response:
        return Response(orjson.dumps(core.token_keys.jwks()), media_type="application/jwk-set+json")


def _discovery(app: FastAPI, core: Core, address: str) -> None:
    layer = core.aggregation

    def negotiated(request: Request, classic: Any, *, is_core: bool) -> Response:
        version = _discovery_version(request.headers.get("accept", ""))
        if not version:
            return _negotiated(request, classic)
        document = discovery.aggregated(
            core.scheme, layer.served(), core=is_core, remote=layer.version, version=version
        )
        return _tagged(request, orjson.dumps(document), discovery.aggregated_type(version))

    @app.get("/api")
    @app.get("/api/")
    async def core_versions(request: Request) -> Response:
        return negotiated(request, discovery.api_versions(address), is_core=True)

    @app.get("/apis")
    @app.get("/apis/")
    async def groups(request: Request) -> Response:
        return negotiated(request, discovery.api_group_list(layer.served()), is_core=False)

    @app.get("/api/{version}")
    @app.get("/api/{version}/")
    async def core_resources(request: Request, version: str) -> Response:
        return _found(request, discovery.api_resource_list(core.scheme, "", version))

    @app.get("/apis/{group}")
    @app.get("/apis/{group}/")
    async def group(request: Request, group: str) -> Response:
        return _found(request, discovery.api_group(layer.served(), group))

    @app.get("/apis/{group}/{version}")
    @app.get("/apis/{group}/{version}/")
    async def resources(request: Request, group: str, version: str) -> Response:
        return _found(request, discovery.api_resource_list(core.scheme, group, version))


def _found(request: Request, document: Any) -> Response:
    if document is None:
        return Response("404 page not found\n", 404, media_type="text/plain")
    return _negotiated(request, document)


def _negotiated(request: Request, document: Any) -> Response:
    """In the form that the client takes, as objects are."""
    form = negotiation.accepted(request.headers.get("accept", ""))
    return Response(answers.render(document, form), media_type=form.media_type)


def _discovery_version(accept: str) -> str:
    """The version of aggregated discovery that a client takes before anything else; empty for classic documents."""
    for choice in accept.split(","):
        media_type, *pairs = (part.strip() for part in choice.split(";"))
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if media_type != JSON or "as" not in parameters:
            if media_type in (JSON, "*/*", "application/*"):
                return ""
            continue
        wanted = (parameters.get("g"), parameters["as"])
        if wanted == ("apidiscovery.k8s.io", "APIGroupDiscoveryList") and parameters.get("v") in (
            "v2",
            "v2beta1",
        ):
            return parameters["v"]
    return ""
