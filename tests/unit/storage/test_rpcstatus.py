"""How a call ended, from what etcd says at its end."""

from __future__ import annotations

import pytest

from kdist.storage.rpcstatus import CANCELLED, DEADLINE_EXCEEDED, UNKNOWN, RpcError


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("context deadline exceeded", DEADLINE_EXCEEDED),
        ("context canceled", CANCELLED),
        ("anything else", UNKNOWN),
    ],
)
def test_a_deadline_that_passed_at_the_server_is_no_unknown_error(told: str, code: int) -> None:
    """etcd without a leader answers so: the call is lost, and may have been carried out."""
    error = RpcError.of({":status": "200", "grpc-status": "2", "grpc-message": told.replace(" ", "%20")})
    assert error is not None
    assert (error.code, error.details, error.unsent) == (code, told, False)


def test_success_is_no_error() -> None:
    assert RpcError.of({":status": "200", "grpc-status": "0"}) is None
