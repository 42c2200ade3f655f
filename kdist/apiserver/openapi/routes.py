"""``/openapi``: how clients come by the documents.

A document of version 3 lies at an address with its hash. Whoever asks for that address may keep the answer for
good (kubectl does, on disk); another hash leads to the one of today. Nothing is built to answer that a client has
it already.
"""

from __future__ import annotations

import time
from email.utils import formatdate

import orjson
from fastapi import FastAPI, Request, Response

from kdist.api.errors import NotAcceptable, NotFound
from kdist.apiserver.aggregation.remoteopenapi import RemoteOpenAPI
from kdist.apiserver.negotiation import JSON, chosen
from kdist.apiserver.openapi import Document, OpenAPI, proto

_YEAR_SECONDS = 365 * 24 * 3600
_VARY = "Accept, Accept-Encoding"


def install(app: FastAPI, documents: OpenAPI, remote: RemoteOpenAPI) -> None:
    """Serve the documents; they are made when first asked for and kept compressed: few clients ever ask."""

    @app.api_route("/openapi/v2", methods=["GET", "HEAD"])
    async def v2(request: Request) -> Response:
        form = _form(request, JSON, *proto.ACCEPTED)
        await remote.refresh()
        if form in proto.ACCEPTED:
            return _sent(request, documents.v2_protobuf(), proto.MEDIA_TYPE)
        return _sent(request, documents.v2(), JSON)

    @app.api_route("/openapi/v3", methods=["GET", "HEAD"])
    async def v3_index() -> Response:
        await remote.refresh()
        return Response(orjson.dumps(documents.v3_index()), media_type=JSON)

    @app.api_route("/openapi/v3/{path:path}", methods=["GET", "HEAD"])
    async def v3(request: Request, path: str) -> Response:
        digest = documents.v3_hash(path)
        if digest is None:
            raise NotFound(f"no OpenAPI document for {path!r}: GET /openapi/v3 lists them")
        _form(request, JSON)
        headers = {"etag": f'"{digest}"', "vary": _VARY}
        asked = request.query_params.get("hash")
        if asked and asked != digest:
            return Response(
                status_code=301, headers={**headers, "location": f"{request.url.path}?hash={digest}"}
            )
        if asked:
            expires = formatdate(time.time() + _YEAR_SECONDS, usegmt=True)
            headers |= {"cache-control": "public, immutable", "expires": expires}
        if has_already(request, digest):
            return Response(status_code=304, headers=headers)
        return _packed(request, documents.v3(path), JSON, headers)


def has_already(request: Request, digest: str) -> bool:
    """Whether the client has said that it holds the version with this ETag."""
    tags = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
    return any(tag in (f'"{digest}"', "*") for tag in tags)


def _form(request: Request, *offered: str) -> str:
    form = chosen(request.headers.get("accept", ""), offered)
    if form is None:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")
    return form


def _sent(request: Request, document: Document, form: str) -> Response:
    headers = {"etag": document.etag, "vary": _VARY}
    if has_already(request, document.etag.strip('"')):
        return Response(status_code=304, headers=headers)
    return _packed(request, document, form, headers)


def _packed(request: Request, document: Document, form: str, headers: dict[str, str]) -> Response:
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(document.body(), headers=headers, media_type=form)
    return Response(document.gzipped, headers={**headers, "content-encoding": "gzip"}, media_type=form)
