"""Fixtures as functions for the tests of operations."""

from __future__ import annotations

import datetime
from typing import Any


def lease(*, seconds_ago: float, holder: str = "alice@laptop/17") -> dict[str, Any]:
    """A Lease of 60 seconds renewed some seconds ago."""
    renewed = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    text = renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"spec": {"holderIdentity": holder, "renewTime": text, "leaseDurationSeconds": 60}}
