"""Serving gRPC services on a Unix socket: tables of methods, errors as statuses, one line per call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kdist.csi.errors import CsiError
from kdist.telemetry import log as logs

log = logs.get(__name__)

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method: the request's message class, and the coroutine that answers."""

    request: type[Any]
    answer: Callable[[Any], Awaitable[Any]]


# service -> method -> Method
Services = Mapping[str, Mapping[str, Method]]


def _handler(name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        started = time.monotonic()
        try:
            answer = await method.answer(request)
        except CsiError as error:
            log.warning("refused", method=name, code=error.code.name, reason=error)
            await context.abort(error.code, str(error))
        except OSError as error:
            log.error("failed", method=name, reason=error)
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        log.debug("answered", method=name, milliseconds=round((time.monotonic() - started) * 1000))
        return answer

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=method.request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return handler


@contextlib.asynccontextmanager
async def serving(socket: Path, services: Services) -> AsyncIterator[None]:
    """Serve on ``socket`` while the block runs; a socket left by an earlier process is replaced."""
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.aio.server()
    for service, methods in services.items():
        handlers = {name: _handler(f"{service}/{name}", method) for name, method in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(_STOP_SECONDS)
        socket.unlink(missing_ok=True)
