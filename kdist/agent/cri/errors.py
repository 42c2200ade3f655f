"""What a call to the container runtime can fail with; callers branch on the class."""

from __future__ import annotations

import grpc


class CriError(Exception):
    """The runtime refused or failed; the text is the runtime's own."""


class CriNotFound(CriError):
    """No such sandbox, container or image."""


class CriUnavailable(CriError):
    """The runtime cannot be reached: it is starting, stopping or gone."""


class CriTimeout(CriError):
    """The call took longer than its deadline."""


class CriUnimplemented(CriError):
    """This release of the runtime does not have the call."""


_BY_CODE: dict[grpc.StatusCode, type[CriError]] = {
    grpc.StatusCode.NOT_FOUND: CriNotFound,
    grpc.StatusCode.UNAVAILABLE: CriUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: CriTimeout,
    grpc.StatusCode.UNIMPLEMENTED: CriUnimplemented,
}


def from_rpc(error: grpc.aio.AioRpcError) -> CriError:
    """The error of this tree that an RPC error stands for."""
    return _BY_CODE.get(error.code(), CriError)(error.details() or error.code().name)
