"""What policies and webhooks have in common: rules for resources, selectors, match conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.validation import causes, names

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")
CONDITIONS_LIMIT = 64
REVIEW_VERSIONS = ("v1", "v1beta1")


def invalid_list(where: str, values: list[str], told: str, of: str = "string") -> Cause:
    """The cause about a whole list, which upstream shows with its type."""
    shown = ", ".join(causes.shown(value) for value in values)
    return Cause(where, f"Invalid value: []{of}{{{shown}}}: {told}", "FieldValueInvalid")


def check_rule(rule: Obj, where: str) -> list[Cause]:
    """Causes for a RuleWithOperations."""
    found = _listed(rule, "operations", where, "if '*' is present, must not specify other operations")
    found += [
        causes.not_supported(f"{where}.operations[{at}]", operation, OPERATIONS)
        for at, operation in enumerate(rule.get("operations") or ())
        if operation not in OPERATIONS
    ]
    found += _listed(rule, "apiGroups", where, "if '*' is present, must not specify other API groups")
    found += _listed(rule, "apiVersions", where, "if '*' is present, must not specify other API versions")
    found += [
        causes.required(f"{where}.apiVersions[{at}]")
        for at, version in enumerate(rule.get("apiVersions") or ())
        if not version
    ]
    found += _check_resources(rule.get("resources") or [], f"{where}.resources")
    scope = rule.get("scope")
    if scope is not None and scope not in SCOPES:
        found.append(causes.not_supported(f"{where}.scope", scope, SCOPES))
    return found


def _listed(rule: Obj, field: str, where: str, told: str) -> list[Cause]:
    values = rule.get(field) or []
    if not values:
        return [causes.required(f"{where}.{field}")]
    if "*" not in values or len(values) == 1:
        return []
    of = "admissionregistration.OperationType" if field == "operations" else "string"
    return [invalid_list(f"{where}.{field}", values, told, of)]


def _check_resources(resources: list[str], where: str) -> list[Cause]:
    if not resources:
        return [causes.required(where)]
    found: list[Cause] = []
    whole: set[str] = set()  # resources of which all subresources are named
    everywhere: set[str] = set()  # subresources that are named for all resources
    plain = False
    for at, name in enumerate(resources):
        resource, slash, sub = name.partition("/")
        if not name:
            found.append(causes.required(f"{where}[{at}]"))
        if not name or not slash:
            plain = plain or name not in ("", "*")
            continue
        for known, told in ((resource in whole, f"{resource}/*"), (sub in everywhere, f"*/{sub}")):
            if known:
                message = f"if '{told}' is present, must not specify {name}"
                found.append(causes.invalid(f"{where}[{at}]", name, message))
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        found.append(invalid_list(where, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        told = "if '*' is present, must not specify other resources without subresources"
        found.append(invalid_list(where, resources, told))
    return found


def check_match_resources(resources: Obj | None, where: str) -> list[Cause]:
    """Causes for a MatchResources of policies and bindings."""
    if resources is None:
        return []
    found = check_enum(resources, "matchPolicy", where, MATCH_POLICIES, required=True)
    for field in ("namespaceSelector", "objectSelector"):
        if resources.get(field) is None:
            found.append(causes.required(f"{where}.{field}"))
        else:
            found += check_label_selector(resources[field], f"{where}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for at, rule in enumerate(resources.get(field) or ()):
            found += _check_named_rule(rule, f"{where}.{field}[{at}]")
    return found


def _check_named_rule(rule: Obj, where: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, name in enumerate(rule.get("resourceNames") or ()):
        place = f"{where}.resourceNames[{at}]"
        found += [causes.invalid(place, name, told) for told in names.path_segment(name)]
        if name in seen:
            found.append(causes.duplicate(place, name))
        seen.add(name)
    return found + check_rule(rule, where)


def check_enum(
    obj: Obj, field: str, where: str, allowed: Iterable[str], *, required: bool = False
) -> list[Cause]:
    """A cause when the field has none of the values, or has to have one and has not."""
    value = obj.get(field)
    if value is None:
        return [causes.required(f"{where}.{field}")] if required else []
    return [] if value in allowed else [causes.not_supported(f"{where}.{field}", value, allowed)]


def check_match_conditions(conditions: list[Obj], where: str, *, params: bool = False) -> list[Cause]:
    """Causes for matchConditions; their expressions have to compile to conditions."""
    if not conditions:
        return []
    found: list[Cause] = []
    if len(conditions) > CONDITIONS_LIMIT:
        found.append(causes.too_many(where, len(conditions), CONDITIONS_LIMIT))
    seen: set[str] = set()
    for at, condition in enumerate(conditions):
        place = f"{where}[{at}]"
        found += _check_condition(condition, place, params=params)
        name = condition.get("name") or ""
        if name and name in seen:
            found.append(causes.duplicate(f"{place}.name", name))
        seen.add(name)
    return found


def _check_condition(condition: Obj, where: str, *, params: bool) -> list[Cause]:
    from kdist.apiserver.admission.expressions import declared  # stands on this package

    expression = (condition.get("expression") or "").strip()
    if not expression:
        found = [causes.required(f"{where}.expression")]
    else:
        environment = declared.environment(params=params, authorizer=True)
        found = check_expression(environment.compile, expression, f"{where}.expression", "bool")
    name = condition.get("name")
    if not name:
        return [*found, causes.required(f"{where}.name")]
    return found + [causes.invalid(f"{where}.name", name, told) for told in names.qualified_name(name)]


def check_expression(compile: Callable[[str], Any], text: str, where: str, *results: str) -> list[Cause]:
    """A cause when the text does not compile, or cannot give what it has to."""
    from kdist.apiserver.admission.expressions.conditions import check_result
    from kdist.apiserver.cel import CompileError

    try:
        check_result(compile(text), *results)
    except CompileError as error:
        return [causes.invalid(where, text, str(error))]
    return []


def check_hook(hook: Obj, where: str) -> list[Cause]:
    """Causes for what a webhook and a policy have in common, and for a webhook's limits."""
    found: list[Cause] = []
    for at, rule in enumerate(hook.get("rules") or ()):
        found += check_rule(rule, f"{where}.rules[{at}]")
    for field, policies in (("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)):
        if (policy := hook.get(field)) is not None and policy not in policies:
            found.append(causes.not_supported(f"{where}.{field}", policy, policies))
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        told = "the timeout value must be between 1 and 30 seconds"
        found.append(causes.invalid(f"{where}.timeoutSeconds", timeout, told))
    for field in ("namespaceSelector", "objectSelector"):
        found += check_label_selector(hook.get(field), f"{where}.{field}")
    found += _check_versions(hook.get("admissionReviewVersions") or [], f"{where}.admissionReviewVersions")
    return found + check_match_conditions(hook.get("matchConditions") or [], f"{where}.matchConditions")


def _check_versions(versions: list[str], where: str) -> list[Cause]:
    if not versions:
        return [causes.required(where, f"must specify one of {', '.join(REVIEW_VERSIONS)}")]
    found: list[Cause] = []
    for at, version in enumerate(versions):
        if version in versions[:at]:
            found.append(causes.invalid(f"{where}[{at}]", version, "duplicate version"))
        found += [causes.invalid(f"{where}[{at}]", version, told) for told in names.dns_1035_label(version)]
    if not set(versions) & set(REVIEW_VERSIONS):
        told = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        found.append(invalid_list(where, versions, told))
    return found
