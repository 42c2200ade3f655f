"""Trace contexts are kept whole."""

from __future__ import annotations

import contextvars

import pytest

from kdist.telemetry import tracing

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def outgoing(traceparent: str) -> dict[str, str]:
    def call() -> dict[str, str]:
        tracing.current.set(traceparent)
        return tracing.outgoing()

    return contextvars.copy_context().run(call)


def test_a_call_for_a_request_has_its_trace_and_a_span_of_its_own() -> None:
    version, trace, span, flags = outgoing(SENT)["traceparent"].split("-")
    assert (version, trace, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "01")
    assert span != "b7ad6b7169203331"
    assert len(span) == 16


@pytest.mark.parametrize(
    "broken", ["", "00-0-0-0", SENT.replace("00-", "ff-", 1), SENT.upper(), f"00-{'0' * 32}-{'1' * 16}-01"]
)
def test_what_is_no_trace_context_is_not_passed_on(broken: str) -> None:
    assert outgoing(broken) == {}
    assert tracing.ids(broken) == {}


def test_logs_have_trace_and_span() -> None:
    assert tracing.ids(SENT) == {"trace": "0af7651916cd43dd8448eb211c80319c", "span": "b7ad6b7169203331"}
