"""Annotations of pods that mean something to the server: mirrors of static pods, and what a deletion costs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes

MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_INTEGER = re.compile(r"0|-?[1-9]\d*")


def check(annotations: dict[str, str], spec: Obj) -> Iterator[Cause]:
    """Causes for the annotations of a pod, or of a template for pods, with this spec."""
    if (mirror := annotations.get(MIRROR)) and not spec.get("nodeName"):
        told = "must set spec.nodeName if mirror pod annotation is set"
        yield causes.invalid(f"metadata.annotations[{MIRROR}]", mirror, told)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (_INTEGER.fullmatch(cost) and -(2**31) <= int(cost) < 2**31):
        yield causes.invalid(f"metadata.annotations[{_DELETION_COST}]", cost, "must be a 32bit integer")
