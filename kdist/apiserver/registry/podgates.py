"""What is wrong with a pod spec under the feature gates that are set; :mod:`podcheck` has what holds always."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_RELAXED = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9])?)*")
_RELAXED_TOLD = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def check(spec: Obj, field: str, features: Features) -> list[Cause]:
    """Causes for a pod spec at ``field``."""
    found: list[Cause] = []
    if "dnsConfig" in spec:
        found += _searches(spec["dnsConfig"], f"{field}.dnsConfig.searches", features)
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            if "lifecycle" in container:
                found += _sleeps(container["lifecycle"], f"{field}.{kind}[{at}].lifecycle", spec, features)
    if not features.reached("1.33"):
        found += _before_1_33(spec, field)
    return found


def _before_1_33(spec: Obj, field: str) -> Iterator[Cause]:
    """Volumes from images are mounted as a whole, and init containers have no policies for resizes."""
    images = {v.get("name") for v in spec.get("volumes") or () if "image" in v}
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{field}.{kind}[{at}]"
            for index, mount in enumerate(container.get("volumeMounts") or () if images else ()):
                for key in ("subPath", "subPathExpr"):
                    if mount.get("name") in images and mount.get(key):
                        told = "not allowed in image volume sources"
                        yield causes.invalid(f"{where}.volumeMounts[{index}].{key}", mount[key], told)
            if kind == "initContainers" and (policies := container.get("resizePolicy")):
                yield causes.invalid(f"{where}.resizePolicy", policies, "must not be set for init containers")


def _searches(config: Obj | None, field: str, features: Features) -> Iterator[Cause]:
    relaxed = features("RelaxedDNSSearchValidation")
    for at, search in enumerate((config or {}).get("searches") or ()):
        name = search.removesuffix(".")
        if relaxed and (search == "." or (len(name) <= 253 and _RELAXED.fullmatch(name))):
            continue
        told = [_RELAXED_TOLD] if relaxed else names.dns_subdomain(name)
        yield from (causes.invalid(f"{field}[{at}]", name, c) for c in told)


def _sleeps(lifecycle: Obj | None, field: str, spec: Obj, features: Features) -> Iterator[Cause]:
    grace = spec.get("terminationGracePeriodSeconds") or 0
    for name in ("postStart", "preStop"):
        action = ((lifecycle or {}).get(name) or {}).get("sleep")
        if action is None:
            continue
        seconds = action.get("seconds") or 0
        told = ""
        if not features("PodLifecycleSleepActionAllowZero"):
            if not 0 < seconds <= grace:
                told = (
                    f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace}). "
                    "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
                )
        elif not 0 <= seconds <= grace:
            told = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        if told:
            yield causes.invalid(f"{field}.{name}.sleep", seconds, told)
