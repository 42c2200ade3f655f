"""Everything that is no resource: health, metrics, version, discovery, OpenAPI, token keys."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from kdist import __version__
from kdist.api.features import reached
from kdist.apiserver import debugging, discovery, health, metrics
from kdist.apiserver.authn.keys import discovery_document
from kdist.apiserver.core import Core
from kdist.apiserver.health import Check
from kdist.apiserver.negotiation import JSON
from kdist.apiserver.openapi import Document, OpenAPI, proto


def version(level: str) -> dict[str, str]:
    """The body of /version: an API level is told as its first patch release of ours."""
    major, minor = level.split(".")
    return {
        "major": major,
        "minor": minor,
        **(_emulation(major, minor) if reached(level, "1.33") else {}),
        "gitVersion": f"v{level}.0+kdist.{__version__}",
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
    _openapi(app, core)

    @app.get("/")
    async def paths() -> Response:
        known = sorted({route.path for route in app.routes if "{" not in getattr(route, "path", "{")})  # type: ignore[attr-defined]
        return _json({"paths": known})

    @app.exception_handler(404)
    async def missing(_: Request, __: Exception) -> Response:
        return Response("404 page not found\n", 404, media_type="text/plain; charset=utf-8")

    return app


def _json(document: Any, **headers: str) -> Response:
    return Response(orjson.dumps(document), media_type=JSON, headers=headers)


def _tagged(request: Request, body: bytes, media_type: str = JSON) -> Response:
    """An answer with an ETag, or 304 when the client has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest().upper()[:64]}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
    if request.headers.get("if-none-match") == tag:
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
            return _json(classic)
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

    def found(document: Any) -> Response:
        if document is None:
            return Response("404 page not found\n", 404, media_type="text/plain")
        return _json(document)

    @app.get("/api/{version}")
    @app.get("/api/{version}/")
    async def core_resources(version: str) -> Response:
        return found(discovery.api_resource_list(core.scheme, "", version))

    @app.get("/apis/{group}")
    @app.get("/apis/{group}/")
    async def group(group: str) -> Response:
        return found(discovery.api_group(layer.served(), group))

    @app.get("/apis/{group}/{version}")
    @app.get("/apis/{group}/{version}/")
    async def resources(group: str, version: str) -> Response:
        return found(discovery.api_resource_list(core.scheme, group, version))


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


def _openapi(app: FastAPI, core: Core) -> None:
    """Documents are made when first asked for and kept compressed: few clients ever ask."""
    remote = core.aggregation.openapi
    documents = OpenAPI(core.scheme, remote, core.selectable_fields)

    def sent(request: Request, document: Document | None, form: str = "application/json") -> Response:
        if document is None:
            return Response("404 page not found\n", 404, media_type="text/plain")
        headers = {"etag": document.etag, "vary": "Accept, Accept-Encoding"}
        if request.headers.get("if-none-match") == document.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(document.body(), headers=headers, media_type=form)
        headers["content-encoding"] = "gzip"
        return Response(document.gzipped, headers=headers, media_type=form)

    @app.get("/openapi/v2")
    async def v2(request: Request) -> Response:
        await remote.refresh()
        accept = request.headers.get("accept", "")
        if any(form in accept for form in proto.ACCEPTED):
            return sent(request, documents.v2_protobuf(), proto.MEDIA_TYPE)
        return sent(request, documents.v2())

    @app.get("/openapi/v3")
    async def v3_index() -> Response:
        await remote.refresh()
        return _json(documents.v3_index())

    @app.get("/openapi/v3/{path:path}")
    async def v3(request: Request, path: str) -> Response:
        return sent(request, documents.v3(path))
