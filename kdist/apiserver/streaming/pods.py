"""Streams of pods: log, exec, attach, portforward. What the agent has to say about them comes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from kdist.api import errors, meta
from kdist.api.errors import ApiError, BadRequest, Cause, InternalError, NotFound
from kdist.api.meta import Obj
from kdist.apiserver import answers
from kdist.apiserver.call import Call
from kdist.apiserver.streaming import agents
from kdist.apiserver.streaming.racing import first_of
from kdist.apiserver.streaming.tunnel import tunnel
from kdist.apiserver.streaming.websocket import WebSocketSender

if TYPE_CHECKING:
    import aiohttp

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_LOG_OPTIONS = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
)
_LOWEST = {"sinceSeconds": 1, "limitBytes": 1, "tailLines": 0}
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_STREAMS = ("stdin", "stdout", "stderr", "tty")


# ----- which container


def container_of(pod: Obj, asked: str) -> str:
    """The container that a request means. BadRequest when that is not clear or there is no such one."""
    spec = pod.get("spec") or {}
    names = [c["name"] for field in _CONTAINERS for c in spec.get(field) or ()]
    if not asked:
        asked = _only_container(pod, spec)
    if asked not in names:
        raise BadRequest(f"container {asked} is not valid for pod {meta.name(pod)}")
    return asked


def _only_container(pod: Obj, spec: Obj) -> str:
    containers = [c["name"] for c in spec.get("containers") or ()]
    if len(containers) == 1:
        return str(containers[0])
    default = meta.annotations(pod).get(DEFAULT_CONTAINER, "")
    if default in containers:
        return default
    raise BadRequest(
        f"a container name must be specified for pod {meta.name(pod)}, choose one of: "
        f"[{' '.join(containers)}]" + _others(spec)
    )


def _others(spec: Obj) -> str:
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    return f" or one of the init containers: [{' '.join(inits)}]" if inits else ""


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _with_query(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


# ----- log


async def log(call: Call) -> None:
    """GET of ``pods/NAME/log``: text, or WebSocket messages when the client asks for them."""
    _check_log_options(call)
    pod = await call.store.get(call.namespace, call.name)
    container = container_of(pod, call.request.param("container"))
    if not meta.get(pod, "spec.nodeName"):
        await answers.send_bytes(call.request, call.send, b"", content_type="text/plain")
        return
    location = await agents.locate(call.core, pod["spec"]["nodeName"])
    options = [(name, call.request.param(name)) for name in _LOG_OPTIONS if call.request.param(name)]
    target = _with_query(_path("containerLogs", call.namespace, call.name, container), options)
    answer = await call.core.forwarder.get(location, target)
    try:
        if answer.status != 200:
            raise _agent_error(answer.status, await answer.text(errors="replace"))
        if call.request.wants_upgrade:
            await _log_by_websocket(call, answer)
        else:
            await _log_as_text(call, answer)
    finally:
        answer.close()


def _check_log_options(call: Call) -> None:
    causes = []
    for name, lowest in _LOWEST.items():
        value = call.request.number(name)
        if value is not None and value < lowest:
            causes.append(Cause(name, f"Invalid value: {value}: must be greater than or equal to {lowest}"))
    if call.request.param("sinceSeconds") and call.request.param("sinceTime"):
        causes.append(
            Cause(
                "",
                "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
                "FieldValueForbidden",
            )
        )
    if causes:
        raise errors.invalid("", "PodLogOptions", call.name, causes)


def _agent_error(status: int, text: str) -> ApiError:
    text = text.strip() or f"the agent answered {status}"
    if status == 404:
        return NotFound(text)
    return BadRequest(text) if status == 400 else InternalError(text)


async def _log_as_text(call: Call, answer: aiohttp.ClientResponse) -> None:
    """Copy until the log ends, the client goes or the server stops."""
    await call.send(answers.head(call.request, 200, "text/plain"))
    await call.send({"type": "http.response.body", "body": b"", "more_body": True})

    async def copy() -> None:
        async for piece in answer.content.iter_any():
            await call.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def gone() -> None:
        while (await call.request.receive())["type"] != "http.disconnect":
            pass

    await first_of(copy(), gone(), call.core.stopping.wait())
    await call.send({"type": "http.response.body", "body": b""})


async def _log_by_websocket(call: Call, answer: aiohttp.ClientResponse) -> None:
    sender = await WebSocketSender.accept(call.request)

    async def copy() -> None:
        async for piece in answer.content.iter_any():
            await sender.send(piece)

    await first_of(copy(), sender.gone(), call.core.stopping.wait())
    await sender.close()


# ----- upgrades

_OPTION_KINDS = {
    "exec": "PodExecOptions",
    "attach": "PodAttachOptions",
    "portforward": "PodPortForwardOptions",
}


def _connect_options(call: Call) -> Obj:
    """What the client asks for, as admission knows it."""
    request = call.request
    options: Obj = {"kind": _OPTION_KINDS[request.info.subresource], "apiVersion": "v1"}
    options.update({flag: True for flag in _STREAMS if request.flag(flag)})
    if container := request.param("container"):
        options["container"] = container
    if command := request.query.get("command"):
        options["command"] = list(command)
    if ports := request.query.get("ports"):
        options["ports"] = [int(port) for value in ports for port in value.split(",") if port.isdigit()]
    return options


async def exec_(call: Call) -> None:
    """``pods/NAME/exec``."""
    await _into_container(call, "exec")


async def attach(call: Call) -> None:
    """``pods/NAME/attach``."""
    await _into_container(call, "attach")


async def _into_container(call: Call, what: str) -> None:
    pod = await call.store.get(call.namespace, call.name)
    phase = meta.get(pod, "status.phase", "")
    if phase in ("Succeeded", "Failed"):
        raise BadRequest(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = container_of(pod, call.request.param("container"))
    # the agent's names for the streams differ from the API's
    pairs = [(_agent_name(s), "1") for s in _STREAMS if call.request.flag(s)]
    pairs += [("command", word) for word in call.request.query.get("command", ())]
    if what == "exec" and not any(name == "command" for name, _ in pairs):
        raise BadRequest("you must specify at least one command for the container")
    target = _with_query(_path(what, call.namespace, call.name, container), pairs)
    await _tunnel(call, pod, target)


def _agent_name(stream: str) -> str:
    return {"stdin": "input", "stdout": "output", "stderr": "error"}.get(stream, stream)


async def portforward(call: Call) -> None:
    """``pods/NAME/portforward``."""
    pod = await call.store.get(call.namespace, call.name)
    pairs = [("port", port) for port in call.request.query.get("ports", ())]
    target = _with_query(_path("portForward", call.namespace, call.name), pairs)
    await _tunnel(call, pod, target)


async def _tunnel(call: Call, pod: Obj, target: str) -> None:
    review = call.pipeline.review(call.act(), "connect", old=pod, subresource=call.request.info.subresource)
    review.obj = _connect_options(call)
    await call.pipeline.admission.admit(review)
    await call.pipeline.admission.validate(review)
    location = await agents.of_pod(call.core, pod)
    await tunnel(call.request, call.send, location, target, stopping=call.core.stopping)
