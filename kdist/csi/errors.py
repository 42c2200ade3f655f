"""Refusals of a CSI call: each knows its gRPC status, which is what a caller goes by."""

from __future__ import annotations

from typing import ClassVar

import grpc


class CsiError(Exception):
    """Base of the tree."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL


class InvalidArgument(CsiError):
    """A required field is missing, or asks for what the driver cannot do."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(CsiError):
    """There is no such volume."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(CsiError):
    """A volume of that name exists and is not what was asked for."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(CsiError):
    """The volume is in use."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(CsiError):
    """The capacity asked for is impossible."""

    code = grpc.StatusCode.OUT_OF_RANGE


class ResourceExhausted(CsiError):
    """Not on this node: another one may have room."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
