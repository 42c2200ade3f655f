"""What is wrong with a Job's spec and status: completion mode, policies for failures and success, indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api import selectors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.counts import not_negative
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podtemplates import check_template
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_NUMBERS = (
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_INDEXED = "requires indexed completion mode"
_MAX_INDEXED = 100_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_INTERVAL = re.compile(r"\d+(-\d+)?")


def check_spec(spec: Obj, field: str) -> list[Cause]:
    """Causes for a JobSpec without its selector."""
    found = [c for key in _NUMBERS for c in not_negative(spec, key, f"{field}.{key}")]
    mode = spec.get("completionMode")
    if mode not in ("NonIndexed", "Indexed", None):
        found.append(causes.not_supported(f"{field}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        found += _indexed(spec, field)
    elif mode in ("NonIndexed", None):
        found += _not_indexed(spec, field)
    template = spec.get("template") or {}
    policy = (template.get("spec") or {}).get("restartPolicy") or ""
    everything = ("OnFailure", "Never", "Always")
    found += check_template(template, f"{field}.template", everything)
    where = f"{field}.template.spec.restartPolicy"
    if policy in ("", "Always"):
        found.append(causes.required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        found.append(causes.not_supported(where, policy, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        told = 'only "Never" is supported when podFailurePolicy is specified'
        found.append(causes.invalid(where, policy, told))
    found += _managed(spec, field)
    replaced = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    found += one_of(spec, "podReplacementPolicy", field, replaced)
    found += _failure_policy(spec, f"{field}.podFailurePolicy")
    return found + list(_success_policy(spec, f"{field}.successPolicy"))


def _managed(spec: Obj, field: str) -> Iterator[Cause]:
    manager = spec.get("managedBy")
    if manager is None:
        return
    if not manager:
        yield causes.required(f"{field}.managedBy")
    elif not all(manager.partition("/")[::2]):
        told = 'must be a domain-prefixed path (such as "acme.io/foo")'
        yield causes.invalid(f"{field}.managedBy", manager, told)
    else:
        domain = manager.partition("/")[0]
        yield from (causes.invalid(f"{field}.managedBy", domain, c) for c in names.dns_subdomain(domain))


def _indexed(spec: Obj, field: str) -> Iterator[Cause]:
    completions = spec.get("completions")
    if completions is None:
        yield causes.required(f"{field}.completions", "when completion mode is Indexed")
    parallelism = spec.get("parallelism") or 0
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if parallelism > _MAX_INDEXED:
        told = f"must be less than or equal to {_MAX_INDEXED} when completion mode is Indexed"
        yield causes.invalid(f"{field}.parallelism", parallelism, told)
    if failed is not None and completions is not None and failed > completions:
        yield causes.invalid(f"{field}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and per_index is None:
        yield causes.required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def _not_indexed(spec: Obj, field: str) -> Iterator[Cause]:
    for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if (number := spec.get(key)) is not None:
            yield causes.invalid(f"{field}.{key}", number, _INDEXED)


# ----- failures


def _failure_policy(spec: Obj, field: str) -> Iterator[Cause]:
    policy = spec.get("podFailurePolicy")
    pods = (spec.get("template") or {}).get("spec") or {}
    containers = [c.get("name") for kind in ("initContainers", "containers") for c in pods.get(kind) or ()]
    for at, rule in enumerate((policy or {}).get("rules") or ()):
        yield from _failure_rule(rule, f"{field}.rules[{at}]", containers, spec)


def _failure_rule(rule: Obj, where: str, containers: list[str | None], spec: Obj) -> Iterator[Cause]:
    action = rule.get("action") or ""
    if not action:
        listed = " ".join(f'"{known}"' for known in _ACTIONS)
        yield causes.required(f"{where}.action", f"valid values: [{listed}]")
    elif action not in _ACTIONS:
        yield causes.not_supported(f"{where}.action", action, _ACTIONS)
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield causes.invalid(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None and conditions:
        told = "specifying both OnExitCodes and OnPodConditions is not supported"
        yield Cause(where, f"Invalid value: {told}")
    if codes is None and not conditions:
        yield Cause(where, "Invalid value: specifying one of OnExitCodes and OnPodConditions is required")
    if codes is not None:
        yield from _exit_codes(codes, f"{where}.onExitCodes", containers)
    for at, condition in enumerate(conditions):
        yield from _pod_condition(condition, f"{where}.onPodConditions[{at}]")


def _exit_codes(codes: Obj, where: str, containers: list[str | None]) -> Iterator[Cause]:
    operator, values, name = (
        codes.get("operator") or "",
        codes.get("values") or [],
        codes.get("containerName"),
    )
    if not operator:
        yield causes.required(f"{where}.operator", 'valid values: ["In" "NotIn"]')
    elif operator not in ("In", "NotIn"):
        yield causes.not_supported(f"{where}.operator", operator, ("In", "NotIn"))
    if name is not None and name not in containers:
        told = "must be one of the container or initContainer names in the pod template"
        yield causes.invalid(f"{where}.containerName", name, told)
    if not values:
        yield causes.invalid(f"{where}.values", values, "at least one value is required")
    seen: set[int] = set()
    for at, value in enumerate(values):
        if operator == "In" and value == 0:
            yield causes.invalid(f"{where}.values[{at}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield causes.duplicate(f"{where}.values[{at}]", value)
        seen.add(value)
    if values != sorted(values):
        yield causes.invalid(f"{where}.values", values, "must be ordered")


def _pod_condition(condition: Obj, where: str) -> Iterator[Cause]:
    kind, status = condition.get("type") or "", condition.get("status") or "True"
    yield from (causes.invalid(f"{where}.type", kind, c) for c in names.qualified_name(kind))
    if status not in ("False", "True", "Unknown"):
        yield causes.not_supported(f"{where}.status", status, ("False", "True", "Unknown"))


# ----- success


def _success_policy(spec: Obj, field: str) -> Iterator[Cause]:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    if spec.get("completionMode") != "Indexed":
        yield causes.invalid(field, policy, _INDEXED)
        return
    rules = policy.get("rules") or []
    if not rules:
        yield causes.required(
            f"{field}.rules", "at least one rules must be specified when the successPolicy is specified"
        )
    for at, rule in enumerate(rules):
        yield from _success_rule(rule, f"{field}.rules[{at}]", spec.get("completions") or 0)


def _success_rule(rule: Obj, where: str, completions: int) -> Iterator[Cause]:
    count, text = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and text is None:
        yield causes.required(where, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if text is not None:
        total, wrong = count_indexes(text, completions)
        if wrong:
            yield causes.invalid(
                f"{where}.succeededIndexes", text, f"error parsing succeededIndexes: {wrong}"
            )
    if count is None:
        return
    yield from not_negative(rule, "succeededCount", f"{where}.succeededCount")
    if count > completions:
        told = f"must be less than or equal to {completions} (the number of specified completions)"
        yield causes.invalid(f"{where}.succeededCount", count, told)
    if text is not None and count > total:
        told = (
            f"must be less than or equal to {total} (the number of indexes in the specified "
            "succeededIndexes field)"
        )
        yield causes.invalid(f"{where}.succeededCount", count, told)


def count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes a text such as ``0,3-5`` names, and what is wrong with it (nothing counts then)."""
    total, previous = 0, -1
    for interval in text.split(",") if text else ():
        if not _INTERVAL.fullmatch(interval):
            part = interval.partition("-")[0]
            return 0, f'cannot convert string to integer for index: "{part}"'
        first, last = (int(part) for part in (interval.partition("-")[0], interval.rpartition("-")[2]))
        for index in (first, last):
            if index >= completions:
                return 0, f'too large index: "{index}"'
        if first <= previous:
            return 0, f"non-increasing order, previous: {previous}, current: {first}"
        if first > last:
            return 0, f"non-increasing order, previous: {first}, current: {last}"
        total, previous = total + last - first + 1, last
    return total, ""


# ----- whole objects


def check_selector(spec: Obj) -> Iterator[Cause]:
    """The selector, which the server makes unless the user does, matches the template."""
    selector = spec.get("selector")
    if selector is None:
        yield causes.required("spec.selector")
    elif wrong := check_label_selector(selector, "spec.selector"):
        yield from wrong
        return
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not selectors.from_label_selector(selector).matches(labels):
        told = "`selector` does not match template `labels`"
        yield causes.invalid("spec.template.metadata.labels", labels, told)


def check_generated(obj: Obj, uid_labels: tuple[str, ...], name_labels: tuple[str, ...]) -> Iterator[Cause]:
    """A selector that is not the user's selects what the server makes."""
    spec, metadata = obj.get("spec") or {}, obj.get("metadata") or {}
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return
    expected = dict.fromkeys(uid_labels, metadata.get("uid") or "")
    expected |= dict.fromkeys(name_labels, metadata.get("name") or "")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    where = "spec.template.metadata.labels"
    for key, wanted in expected.items():
        if key not in labels:
            yield causes.required(f"{where}[{key}]", f"must be '{wanted}'")
        elif labels[key] != wanted:
            yield causes.invalid(f"{where}[{key}]", labels, f"must be '{wanted}'")
    readable = not check_label_selector(selector, "spec.selector")
    if readable and not selectors.from_label_selector(selector).matches(expected):
        yield causes.invalid("spec.selector", selector, "`selector` not auto-generated")


def check_indexed_name(obj: Obj) -> Iterator[Cause]:
    """The pods of an indexed Job have a number at the end of their host name."""
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        longest = f"{name}-{completions - 1}"
        if any("no more than" in complaint for complaint in names.dns_label(longest)):
            told = f"will not able to create pod with invalid DNS label: {longest}"
            yield causes.invalid("metadata.name", name, told)


def check_status(obj: Obj) -> Iterator[Cause]:
    """Causes for the indexes in a Job's status."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions = spec.get("completions") or 0
    for key in ("active", "ready", "succeeded", "failed", "terminating"):
        yield from not_negative(status, key, f"status.{key}")
    indexed = spec.get("completionMode") == "Indexed"
    if done and not indexed:
        told = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield causes.invalid("status.completedIndexes", done, told)
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        told = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield causes.invalid("status.failedIndexes", failed, told)
    if (status.get("ready") or 0) > (status.get("active") or 0):
        yield causes.invalid("status.ready", status["ready"], "cannot set more ready pods than active")
    checked = [("completedIndexes", done)]
    if spec.get("backoffLimitPerIndex") is not None:
        checked.append(("failedIndexes", failed or ""))
    for key, text in checked:
        if wrong := count_indexes(text, completions)[1]:
            yield causes.invalid(f"status.{key}", text, f"error parsing {key}: {wrong}")
