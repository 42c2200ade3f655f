"""The ASGI application: resources on the fast path, everything else in the periphery.

A request passes, in this order: authentication, impersonation, authorization, then its handler. Whatever is
raised on the way becomes a Status.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kdist.api import errors
from kdist.api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable, Unauthorized
from kdist.apiserver import answers, deadline, metrics, router, slowness
from kdist.apiserver.aggregation.proxying import proxy
from kdist.apiserver.audit import Auditor
from kdist.apiserver.authz import Attributes, forbidden
from kdist.apiserver.authz.impersonation import impersonate
from kdist.apiserver.call import Call
from kdist.apiserver.core import Core
from kdist.apiserver.request import ClientGone, Message, Receive, Request, Scope, Send
from kdist.apiserver.requestinfo import RequestInfo
from kdist.storage.interface import Unreadable
from kdist.telemetry import log, tracing

_log = log.get(__name__)
App = Callable[[Any, Any, Any], Awaitable[None]]  # any ASGI application
# Health must be readable without credentials and without storage: probes and load balancers have none.
_AUTHENTICATION = {result: metrics.AUTHENTICATION_SECONDS.at(result) for result in ("success", "failure")}
_AUTHORIZATION = {
    True: metrics.AUTHORIZATION_SECONDS.at("allowed"),
    False: metrics.AUTHORIZATION_SECONDS.at("denied"),
}
_AUTHENTICATED, _FAILED = (metrics.AUTHENTICATIONS.at(result) for result in ("success", "failure"))
_DECIDED = {
    True: metrics.AUTHORIZATIONS.at("allowed"),
    False: metrics.AUTHORIZATIONS.at("denied"),
}
_COUNTED_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/metrics", "/version"})
TIMED_OUT = "Timeout: request did not complete within requested timeout - context deadline exceeded"
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})


class Application:
    """The whole server as one ASGI application; ``periphery`` answers what is no resource."""

    def __init__(self, core: Core, periphery: App) -> None:
        self._core = core
        self._periphery = periphery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._periphery(scope, receive, send)
            return
        request = Request(scope, receive)
        info = request.info
        if info.plural:
            request.resource = self._core.scheme.by_path(info.group, info.version, info.plural)
        if traceparent := request.header(b"traceparent"):
            tracing.current.set(traceparent)
        answer = _Answer(send, request, self._core.auditor)
        series = _series(request)
        begun = request.begun = time.monotonic()
        series.running.value += 1
        try:
            await self._answer(request, answer)
        finally:
            took = series.end(begun, answer.code, answer.size)
            if request.audit is not None and self._core.auditor is not None:
                await self._core.auditor.ended(request, answer.code, panicked=answer.panicked)
            if took > slowness.LOGGED_SECONDS and not info.is_long_running:
                slowness.tell(request, answer.code, took)

    async def _answer(self, request: Request, started: _Answer) -> None:
        """Serve the request; every error becomes a Status, a defect a logged 500."""
        try:
            await self._serve(request, started.send)
        except ApiError as error:
            await self._refuse(request, started, error)
        except Unreadable as error:
            told = errors.InternalError(f"Internal error occurred: {error}")
            await self._refuse(request, started, told)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the supervisor of every request
            _log.error(
                "request failed",
                exc_info=True,
                method=request.method,
                path=request.path,
                audit=request.audit_id,
                **slowness.trace(request),
            )
            started.panicked = True
            text = f"Internal error occurred: {type(error).__name__}"
            await self._refuse(request, started, errors.InternalError(text))

    @staticmethod
    async def _refuse(request: Request, started: _Answer, error: ApiError) -> None:
        if started.code:  # too late for a status code: the client sees the answer break off
            _log.warning("answer broke off", path=request.path, error=error.message)
            raise error
        await answers.send_error(request, started.send, error)

    async def _serve(self, request: Request, send: Send) -> None:
        core, info = self._core, request.info
        if core.stopping.is_set() and not info.path.startswith(("/livez", "/readyz", "/healthz")):
            raise ServiceUnavailable("the server is shutting down", details={"retryAfterSeconds": 1})
        await self._identify(request)
        if info.is_long_running and info.verb != "watch":
            await self._authorized(request, send)
            return
        admission = core.gate.arrive(request)
        if admission is None:
            await self._authorized(request, send)
            return
        try:
            if admission.waits:
                longest = deadline.of(request.query, core.settings.request_timeout)
                await core.gate.wait(admission, longest)
            if info.verb == "watch":  # from its first event on it takes no seat any more
                request.on_initialized = functools.partial(core.gate.leave, admission)
            await self._authorized(request, send)
        finally:
            core.gate.leave(admission)
            admission.forget_watch()

    async def _authorized(self, request: Request, send: Send) -> None:
        """Serve a request whose turn it is. Forbidden."""
        core, info = self._core, request.info
        if core.authorizer.webhooks:
            await core.authorizer.settle(self._authorize, request)
        else:
            self._authorize(request)
        backend = core.aggregation.backend_for(info)
        if backend is None and not info.is_resource:
            request.scope["state"]["user"] = request.user
            await self._periphery(request.scope, request.receive, send)
            return
        longest = deadline.of(request.query, core.settings.request_timeout)
        work = self._call(request, send) if backend is None else proxy(core, request, send, backend)
        # One object from the cache waits for storage only, which has a time limit of its own.
        if info.is_long_running or (info.verb == "get" and backend is None):
            await work
            return
        try:
            async with asyncio.timeout(longest):
                await work
        except TimeoutError as error:
            raise errors.Timeout(TIMED_OUT) from error

    async def _identify(self, request: Request) -> None:
        """Find out who asks. Unauthorized, Forbidden for an impersonation."""
        core, headers = self._core, request.scope["headers"]
        authorizer = core.authorizer
        try:
            user = await core.authenticator.authenticate(request.scope)
            if user is None:
                raise Unauthorized("Unauthorized")
        except Unauthorized:
            _FAILED.value += 1
            _AUTHENTICATION["failure"].observe(time.monotonic() - request.begun)
            if core.auditor is not None:
                await core.auditor.unauthenticated(request)
            raise
        _AUTHENTICATED.value += 1
        _AUTHENTICATION["success"].observe(time.monotonic() - request.begun)
        request.user = user
        if core.auditor is not None:
            await core.auditor.received(request, user)
        if authorizer.webhooks:
            request.user = await authorizer.settle(impersonate, authorizer, user, headers)
        else:
            request.user = impersonate(authorizer, user, headers)
        if request.audit is not None and request.user is not user:
            request.audit.impersonated = request.user

    def _authorize(self, request: Request) -> None:
        """Forbidden when the user may not do this."""
        core, info = self._core, request.info
        if info.path in PUBLIC_PATHS:
            return
        if info.is_resource:
            asked = Attributes(
                request.user,
                info.verb,
                info.group,
                info.version,
                info.plural,
                info.subresource,
                info.namespace,
                info.name,
                info.path,
                request.param("fieldSelector"),
                request.param("labelSelector"),
            )
        else:
            asked = Attributes(request.user, info.verb, path=info.path)
        begun = time.monotonic()
        decision = core.authorizer.authorize(asked)
        _AUTHORIZATION[decision.allowed].observe(time.monotonic() - begun)
        if request.audit is not None:
            request.audit.decide(decision)
        _DECIDED[decision.allowed].value += 1
        if not decision.allowed:
            raise forbidden(asked, decision.reason)

    async def _call(self, request: Request, send: Send) -> None:
        info, scheme = request.info, self._core.scheme
        resource = request.resource
        handler = router.route(resource, info) if resource is not None else None
        if resource is not None and handler is not None:
            call = Call(self._core, request, send, resource)
            if resource.deprecation:
                request.warn(resource.deprecation)
                if resource.deprecated_since:
                    asked = (resource.group, resource.version, resource.plural, info.subresource)
                    metrics.DEPRECATED.at(*asked, "").value = 1
            _check_form(call)
            await handler(call)
        elif not info.group or scheme.resources_of(info.group, info.version):
            raise NotFound("the server could not find the requested resource", details={})
        else:
            await not_found(request, send)


def _check_form(call: Call) -> None:
    """Refuse what no handler can answer, before it looks for anything. MethodNotAllowed, NotAcceptable."""
    request, info = call.request, call.request.info
    if info.is_long_running and info.verb != "watch":
        return
    if request.method == "HEAD":
        raise router.not_allowed()
    if "export" in request.query and info.verb == "get":
        raise BadRequest("the export parameter, deprecated since v1.14, is no longer supported")
    _ = call.form


async def not_found(request: Request, send: Send) -> None:
    """The answer to a path that nothing serves; kubectl knows a missing resource by it."""
    body = b"404 page not found\n"
    await answers.send_bytes(
        request,
        send,
        body,
        status=NotFound.code,
        content_type="text/plain; charset=utf-8",
        extra=[("X-Content-Type-Options", "nosniff")],
    )


class _Answer:
    """Where an answer goes; knows its status code, 0 before it has begun, and its size."""

    __slots__ = ("_auditor", "_request", "_send", "code", "panicked", "size")

    def __init__(self, send: Send, request: Request, auditor: Auditor | None) -> None:
        self._send, self._request, self._auditor = send, request, auditor
        self.code = self.size = 0
        self.panicked = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            if self._request.flow_headers is not None:
                message["headers"] += self._request.flow_headers
        else:
            self.size += len(message.get("body", b""))
        if self._request.audit is not None and self._auditor is not None:
            await self._auditor.follow(self._request, message)
        await self._send(message)


_METRIC_VERBS = {"create": "POST", "update": "PUT"}
_CONNECTS = frozenset({"exec", "attach", "portforward", "proxy"})


def _series(request: Request) -> metrics.RequestSeries:
    """The request's time series. What nobody serves shares one: clients must not be able to make up labels."""
    info, resource = request.info, request.resource
    dry = ""
    if dry_run := request.query.get("dryRun"):
        dry = "All" if set(dry_run) == {"All"} else "invalid"
    if resource is None:
        return metrics.request_series(_other_verb(info), "", "", "", _known_path(info), "", dry)
    subresource = info.subresource
    if subresource and subresource not in resource.subresources:
        subresource = ""
    verb = _METRIC_VERBS.get(info.verb) or info.verb.upper()
    if verb == "PATCH" and request.header(b"content-type").startswith("application/apply-patch"):
        verb = "APPLY"
    if subresource in _CONNECTS:
        verb = "CONNECT"
    scope = "resource" if info.name or verb == "POST" else "namespace" if info.namespace else "cluster"
    return metrics.request_series(verb, info.group, info.version, info.plural, subresource, scope, dry)


def _other_verb(info: RequestInfo) -> str:
    verb = info.verb.upper()
    return verb if verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "OTHER"


def _known_path(info: RequestInfo) -> str:
    """What paths are counted under: those that something asks for all the time have their own series."""
    return info.path if info.path in _COUNTED_PATHS else ""
