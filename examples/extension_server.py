"""A sample extension server: the kind Note of notes.example.com/v1, kept in memory.

It serves what the API server's aggregation layer passes on for an APIService: create, get, list, watch and delete,
discovery in both forms, and OpenAPI. Who asks is what the API server says in X-Remote-User; it is believed because only
certificates of the front-proxy CA can connect.

    python examples/extension_server.py --host 10.0.0.5 --cert notes.crt --key notes.key \\
        --requestheader-client-ca-file /etc/kubernetes/pki/front-proxy-ca.crt

prints the port it listens on. A Service with such an endpoint and an APIService ``v1.notes.example.com`` make it part of the
cluster; tests/integration/test_aggregation.py does all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Obj = dict[str, Any]
GROUP, VERSION = "notes.example.com", "v1"
API_VERSION = f"{GROUP}/{VERSION}"
VERBS = ["create", "delete", "get", "list", "watch"]
NOTE = {
    "description": "A note that somebody left.",
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "text": {"description": "What it says.", "type": "string"},
                "author": {"description": "Who left it; set by the server.", "type": "string"},
            },
        },
    },
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Note"}],
}


class Notes:
    """The notes by (namespace, name), and what happened to them, each with a revision."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[tuple[str, str], Obj] = {}
        self.history: list[tuple[int, str, Obj]] = []
        self.changed = asyncio.Condition()

    async def record(self, event: str, note: Obj) -> None:
        """Give the note a new revision and tell the watches."""
        async with self.changed:
            self.revision += 1
            note["metadata"]["resourceVersion"] = str(self.revision)
            self.history.append((self.revision, event, json.loads(json.dumps(note))))
            self.changed.notify_all()

    def since(self, revision: int, namespace: str) -> list[tuple[int, str, Obj]]:
        """What happened after a revision in a namespace, or in all when it is empty."""
        return [
            row
            for row in self.history
            if row[0] > revision and namespace in ("", row[2]["metadata"]["namespace"])
        ]


class Server:
    """The HTTP side."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.app = web.Application()
        root = f"/apis/{API_VERSION}"
        collection = f"{root}/namespaces/{{namespace}}/notes"
        self.app.add_routes(
            [
                web.get("/apis", self.groups),
                web.get(root, self.resources),
                web.get("/openapi/v2", self.openapi_v2),
                web.get("/openapi/v3", self.openapi_v3_index),
                web.get(f"/openapi/v3{root}", self.openapi_v3),
                web.get(f"{root}/notes", self.list),
                web.get(collection, self.list),
                web.post(collection, self.create),
                web.get(f"{collection}/{{name}}", self.get),
                web.delete(f"{collection}/{{name}}", self.delete),
            ]
        )

    # ----- discovery and OpenAPI

    async def groups(self, request: web.Request) -> web.Response:
        resource = {
            "resource": "notes",
            "responseKind": {"group": "", "version": "", "kind": "Note"},
            "scope": "Namespaced",
            "singularResource": "note",
            "verbs": VERBS,
            "shortNames": ["nt"],
        }
        version = {"version": VERSION, "resources": [resource], "freshness": "Current"}
        document = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "items": [{"metadata": {"name": GROUP}, "versions": [version]}],
        }
        kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        return web.Response(body=json.dumps(document), headers={"Content-Type": kind})

    async def resources(self, request: web.Request) -> web.Response:
        row = {"name": "notes", "singularName": "note", "namespaced": True, "kind": "Note", "verbs": VERBS}
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": [row]}
        )

    async def openapi_v2(self, request: web.Request) -> web.Response:
        answer = {"description": "OK", "schema": {"$ref": "#/definitions/com.example.notes.v1.Note"}}
        path = f"/apis/{API_VERSION}/namespaces/{{namespace}}/notes/{{name}}"
        operation = {"operationId": "readNotesExampleComV1Note", "responses": {"200": answer}}
        return web.json_response(
            {
                "swagger": "2.0",
                "info": {"title": "notes", "version": VERSION},
                "paths": {path: {"get": operation}},
                "definitions": {"com.example.notes.v1.Note": NOTE},
            }
        )

    async def openapi_v3_index(self, request: web.Request) -> web.Response:
        where = f"apis/{API_VERSION}"
        return web.json_response({"paths": {where: {"serverRelativeURL": f"/openapi/v3/{where}?hash=1"}}})

    async def openapi_v3(self, request: web.Request) -> web.Response:
        reference = {"$ref": "#/components/schemas/com.example.notes.v1.Note"}
        content = {"application/json": {"schema": reference}}
        operation = {
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": "get",
            "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": "Note"},
        }
        path = f"/apis/{API_VERSION}/namespaces/{{namespace}}/notes/{{name}}"
        return web.json_response(
            {
                "openapi": "3.0.0",
                "info": {"title": "notes", "version": VERSION},
                "paths": {path: {"get": operation}},
                "components": {"schemas": {"com.example.notes.v1.Note": NOTE}},
            }
        )

    # ----- notes

    async def create(self, request: web.Request) -> web.Response:
        try:
            note = await request.json()
            metadata = note["metadata"]
            key = request.match_info["namespace"], metadata["name"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            return refusal(400, "BadRequest", f"the body is no note with a name: {error!r}")
        if key in self.notes.objects:
            return refusal(409, "AlreadyExists", f'notes.{GROUP} "{key[1]}" already exists')
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata.update(namespace=key[0], uid=str(uuid.uuid4()), creationTimestamp=now)
        note.update(kind="Note", apiVersion=API_VERSION)
        note["spec"] = {**(note.get("spec") or {}), "author": request.headers.get("X-Remote-User", "")}
        self.notes.objects[key] = note
        await self.notes.record("ADDED", note)
        return web.json_response(note, status=201)

    async def get(self, request: web.Request) -> web.Response:
        key = request.match_info["namespace"], request.match_info["name"]
        note = self.notes.objects.get(key)
        if note is None:
            return refusal(404, "NotFound", f'notes.{GROUP} "{key[1]}" not found')
        return web.json_response(note)

    async def delete(self, request: web.Request) -> web.Response:
        key = request.match_info["namespace"], request.match_info["name"]
        note = self.notes.objects.pop(key, None)
        if note is None:
            return refusal(404, "NotFound", f'notes.{GROUP} "{key[1]}" not found')
        await self.notes.record("DELETED", note)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def list(self, request: web.Request) -> web.StreamResponse:
        namespace = request.match_info.get("namespace", "")
        if request.query.get("watch") in ("1", "true"):
            return await self.watch(request, namespace)
        found = [note for key, note in sorted(self.notes.objects.items()) if namespace in ("", key[0])]
        metadata = {"resourceVersion": str(self.notes.revision)}
        return web.json_response(
            {"kind": "NoteList", "apiVersion": API_VERSION, "metadata": metadata, "items": found}
        )

    async def watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        """Events after the given resourceVersion, until the client goes."""
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        seen = int(request.query.get("resourceVersion") or 0)
        while True:
            async with self.notes.changed:
                await self.notes.changed.wait_for(lambda: self.notes.revision > seen)
                happened, seen = self.notes.since(seen, namespace), self.notes.revision
            for _, event, note in happened:
                await answer.write(json.dumps({"type": event, "object": note}).encode() + b"\n")


def refusal(code: int, reason: str, message: str) -> web.Response:
    """A Status."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return web.json_response({**status, "reason": reason, "message": message}, status=code)


async def serve(options: argparse.Namespace) -> None:
    """Listen until cancelled."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    context.load_verify_locations(options.requestheader_client_ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(Server().app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A sample extension server for notes.example.com/v1.")
    parser.add_argument(
        "--host", required=True, help="Address to listen on; not loopback, as endpoints cannot be."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one.")
    parser.add_argument("--cert", required=True, help="Certificate (PEM) for SERVICE.NAMESPACE.svc.")
    parser.add_argument("--key", required=True, help="Its key.")
    parser.add_argument("--requestheader-client-ca-file", required=True, help="Who may say who the user is.")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
