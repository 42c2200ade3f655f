"""One call of a handler: the request, what it concerns, and how to answer it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson

from kdist.api import errors
from kdist.api.errors import BadRequest, Cause, NotAcceptable
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.apiserver import answers, negotiation
from kdist.apiserver.authn.user import User
from kdist.apiserver.autoscalerversions import NOTES
from kdist.apiserver.core import Core
from kdist.apiserver.negotiation import Form
from kdist.apiserver.participants import Act
from kdist.apiserver.pipeline import Pipeline
from kdist.apiserver.registry.daemonsets import TEMPLATE_COUNT
from kdist.apiserver.request import Request, Send
from kdist.apiserver.store import Store, Stored
from kdist.apiserver.validation import decode, read_object
from kdist.apiserver.validation.bodytype import check_type
from kdist.apiserver.validation.decode import SLOW_FROM, Body
from kdist.storage.watchcache import Entry

_MANAGER_LIMIT = 128
_ANNOTATED = ("DaemonSet", "HorizontalPodAutoscaler")
_ANNOTATIONS = frozenset({TEMPLATE_COUNT, *NOTES})
_FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")


class Call:
    """A request for a resource, on its way through one handler."""

    def __init__(self, core: Core, request: Request, send: Send, resource: Resource) -> None:
        self.core, self.request, self.send, self.resource = core, request, send, resource
        self.namespace = request.info.namespace if resource.namespaced else ""
        self.name = request.info.name
        self._form: Form | None = None

    @property
    def user(self) -> User:
        """Who asks, after impersonation."""
        return self.request.user

    @property
    def store(self) -> Store:
        """The resource's storage side."""
        return self.core.store(self.resource)

    @property
    def pipeline(self) -> Pipeline:
        """The resource's writes."""
        return self.core.pipeline(self.resource)

    @property
    def form(self) -> Form:
        """How the client wants its answer. NotAcceptable."""
        if self._form is None:
            self._form = negotiation.accepted(self.request.header(b"accept"))
        return self._form

    # ----- parameters

    def act(self) -> Act:
        """Who writes and how, from the query. Invalid."""
        dry_run = self.request.query.get("dryRun", [])
        if any(value not in ("All", "") for value in dry_run):
            listed = ", ".join(f'"{value}"' for value in dry_run)
            raise self._bad_option(
                "dryRun", f'Unsupported value: []string{{{listed}}}: supported values: "All"'
            )
        return Act(
            self.user,
            dry_run="All" in dry_run,
            manager=self.manager(),
            warn=self.request.warn,
            annotate=self.request.annotate,
        )

    def _bad_option(self, field: str, told: str) -> errors.Invalid:
        """What is wrong with the query, in terms of the verb's options."""
        verb = self.request.info.verb.removesuffix("collection")
        reason = "FieldValueNotSupported" if told.startswith("Unsupp") else "FieldValueTooLong"
        cause = Cause(field, told, reason)
        return errors.invalid("meta.k8s.io", f"{verb.capitalize()}Options", "", [cause])

    def manager(self) -> str:
        """The field manager: asked for, or the client's name from its user agent."""
        manager = self.request.param("fieldManager")
        if len(manager) > _MANAGER_LIMIT:
            raise self._bad_option("fieldManager", f"Too long: may not be more than {_MANAGER_LIMIT} bytes")
        if not manager.isprintable():
            raise self._bad_option("fieldManager", f"Invalid value: {json.dumps(manager)}: invalid character")
        agent = self.request.header(b"user-agent").partition("/")[0]
        return manager or agent[:_MANAGER_LIMIT] or "unknown"

    def field_validation(self) -> str:
        """Strict, Warn or Ignore. Invalid."""
        level = self.request.param("fieldValidation")
        if level not in _FIELD_VALIDATION:
            supported = ", ".join(f'"{known}"' for known in _FIELD_VALIDATION)
            told = f'Unsupported value: "{level}": supported values: {supported}'
            raise self._bad_option("fieldValidation", told)
        return level or "Warn"

    def check_uid(self, wanted: str | None, have: str) -> None:
        """Conflict when a request means another object of the same name."""
        if wanted and wanted != have:
            told = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}"
            raise self.store.conflict(self.name, told)

    # ----- bodies

    async def read_object(self, resource: Resource | None = None) -> Obj:
        """The body as an object of the call's resource, checked against its schema."""
        resource = resource or self.resource
        return await self.read_kind(resource.api_version, resource.kind)

    async def read_kind(
        self,
        api_version: str,
        kind: str,
        *,
        default: Obj | None = None,
        lenient: bool = False,
        formerly: str = "",
    ) -> Obj:
        """The body as an object of any published kind; ``default`` when it is empty. BadRequest.

        ``lenient`` takes any group's apiVersion: options are the same in all of them; ``formerly`` is a version with
        the same fields that clients of old still send.
        """
        raw = await self.request.body()
        self.request.step("body read")
        if not raw and default is not None:
            return default
        media_type = negotiation.body_type(self.request.header(b"content-type"))
        if media_type == negotiation.PROTOBUF:
            from kdist.apiserver import protobuf  # its table is only for clients that send it

            body = Body(protobuf.decode(raw))
        elif media_type == negotiation.YAML and len(raw) > SLOW_FROM:
            body = await asyncio.to_thread(self._decode, raw, media_type, kind)
        else:
            body = self._decode(raw, media_type, kind)
        if isinstance(body.value, dict):
            if lenient or (formerly and body.value.get("apiVersion") == formerly):
                body.value.pop("apiVersion", None)
            check_type(body.value, api_version, kind, self.core.scheme.schema)
            body.value.update(kind=kind, apiVersion=api_version)
        schema = self.core.scheme.schema(api_version, kind)
        if schema is None:
            raise BadRequest(f"no kind {kind} is registered for version {api_version}")
        version = api_version.rpartition("/")[2]
        obj, warnings = read_object(
            body, schema, kind=kind, version=version, field_validation=self.field_validation()
        )
        for text in warnings:
            self.request.warn(text)
        if self.request.audit is not None:
            self.request.audit.take_object(obj)
        self.request.step("decoded")
        return obj

    @staticmethod
    def _decode(raw: bytes, media_type: str, kind: str) -> Body:
        try:
            return decode(raw, media_type)
        except BadRequest as error:
            told = f"the object provided is unrecognized (must be of type {kind}): {error.message}"
            raise BadRequest(told) from error

    # ----- answers

    async def reply_review(self, review: Obj) -> None:
        """Answer a question that is never stored; it has no columns. NotAcceptable."""
        if self.form.kind:
            raise NotAcceptable(negotiation.only_served())
        await self._reply(review, None, self.form, 201)

    async def reply(self, stored: Stored | Obj, status: int = 200) -> None:
        """Answer with one object in the form the client wants."""
        form = self.form
        obj, body = (stored.obj, stored.body) if isinstance(stored, Stored) else (stored, None)
        if form.kind and obj.get("kind") != "Status":
            obj, body = self.transform([obj], form), None
        await self._reply(obj, body, form, status)

    async def reply_rendered(self, rendered: Obj) -> None:
        """Answer with what :meth:`transform` made, or a list."""
        await answers.send_object(self.request, self.send, rendered, self.form)

    async def reply_entry(self, entry: Entry) -> None:
        """Answer with a cached object."""
        form = self.form
        if form.plain and not self.request.pretty:
            body = entry.body
            if self.store.converts:
                (body,) = await self.store.bodies_of((body,))
            await answers.send_bytes(self.request, self.send, body)
            return
        (obj,) = await self.store.objects((entry.body,))
        await self._reply(self.transform([obj], form) if form.kind else obj, None, form, 200)

    async def _reply(self, obj: Any, body: bytes | None, form: Form, status: int) -> None:
        if body is None or form.media_type != negotiation.JSON or self.request.pretty:
            await answers.send_object(self.request, self.send, obj, form, status=status)
            return
        await answers.send_bytes(self.request, self.send, body, status=status)

    def transform(self, objects: list[Obj], form: Form, metadata: Obj | None = None) -> Obj:
        """Objects as a Table or as metadata only. ``metadata`` (of a list) makes the answer a list."""
        if form.kind == "Table":
            from kdist.apiserver import tables

            include = self.request.param("includeObject") or "Metadata"
            if include not in ("Metadata", "Object", "None"):
                raise BadRequest(
                    "Unable to convert to Table as requested: includeObject: "
                    f"Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
                )
            printer = self.core.custom_printer(self.resource)
            table = tables.render(self.resource, objects, include, custom=printer)
            if metadata is not None:
                table["metadata"] = metadata
            elif objects:
                table["metadata"] = {"resourceVersion": objects[0]["metadata"].get("resourceVersion", "")}
            return _at_version(table, form)
        partial = [partial_metadata(obj, form) for obj in objects]
        if metadata is None:
            form.refuse_list(self.resource)
            return partial[0]
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": form.api_version,
            "metadata": metadata,
            "items": partial,
        }


def partial_metadata(obj: Obj, form: Form) -> Obj:
    """Only the metadata of an object, without the annotations in which a version tells what it has no field for."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations")
    if annotations and obj.get("kind") in _ANNOTATED and not annotations.keys().isdisjoint(_ANNOTATIONS):
        kept = {k: v for k, v in annotations.items() if k not in _ANNOTATIONS}
        metadata = {k: v for k, v in metadata.items() if k != "annotations"}
        if kept:
            metadata["annotations"] = kept
    return {"kind": "PartialObjectMetadata", "apiVersion": form.api_version, "metadata": metadata}


def _at_version(table: Obj, form: Form) -> Obj:
    """A Table in the version that was asked for; they differ in nothing else."""
    if form.version != "v1":
        table["apiVersion"] = form.api_version
        for row in table["rows"]:
            if (row["object"] or {}).get("kind") == "PartialObjectMetadata":
                row["object"]["apiVersion"] = form.api_version
    return table


def copy(obj: Obj) -> Obj:
    """A deep copy of JSON data, several times faster than ``copy.deepcopy``."""
    copied: Obj = orjson.loads(orjson.dumps(obj))
    return copied
