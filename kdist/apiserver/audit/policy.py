"""The audit policy: a list of rules, of which the first that fits says how much of a request is recorded.

audit.k8s.io/v1 Policy as published. A file that is wrong is refused with its name, the field and the reason; unknown
fields are only warned of, as upstream does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdist.apiserver.authn.user import User
from kdist.apiserver.requestinfo import RequestInfo
from kdist.apiserver.validation import names, strictyaml
from kdist.telemetry import log

_log = log.get(__name__)
NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)
_POLICY_FIELDS = {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}
_RULE_FIELDS = {
    *("level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs"),
    *("omitStages", "omitManagedFields"),
}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a request is recorded."""

    level: int
    omitted: frozenset[str] = frozenset()  # stages
    without_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an empty condition fits everything."""

    extent: Extent
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: tuple[dict[str, Any], ...]
    urls: tuple[str, ...]

    def fits(self, user: User | None, info: RequestInfo) -> bool:
        """Whether the rule is about the request."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._fits_resource(info)
        if self.urls:
            return not info.is_resource and any(_covers(url, info.path) for url in self.urls)
        return True

    def _fits_resource(self, info: RequestInfo) -> bool:
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(_names(group, info) for group in self.resources)


def _covers(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def _names(group: dict[str, Any], info: RequestInfo) -> bool:
    if group.get("group", "") != info.group:
        return False
    resources = group.get("resources")
    if not resources:
        return True
    allowed = group.get("resourceNames")
    if allowed and info.name not in allowed:
        return False
    combined = f"{info.plural}/{info.subresource}" if info.subresource else info.plural
    patterns = {"*", combined, f"{info.plural}/*"}
    if info.subresource:
        patterns.add(f"*/{info.subresource}")
    return not patterns.isdisjoint(resources)


class Policy:
    """The rules of one file."""

    def __init__(self, document: dict[str, Any]) -> None:
        omitted = frozenset(document.get("omitStages") or ())
        without = bool(document.get("omitManagedFields"))
        self._default = Extent(NONE, omitted, without)
        self._rules = [_rule(rule, omitted, without) for rule in document["rules"]]

    def extent(self, user: User | None, info: RequestInfo) -> Extent:
        """How much of the request is recorded."""
        for rule in self._rules:
            if rule.fits(user, info):
                return rule.extent
        return self._default


def _rule(rule: dict[str, Any], omitted: frozenset[str], without: bool) -> Rule:
    own = rule.get("omitManagedFields")
    return Rule(
        Extent(
            LEVELS.index(rule["level"]),
            omitted | frozenset(rule.get("omitStages") or ()),
            without if own is None else bool(own),
        ),
        users=frozenset(rule.get("users") or ()),
        groups=frozenset(rule.get("userGroups") or ()),
        verbs=frozenset(rule.get("verbs") or ()),
        namespaces=frozenset(rule.get("namespaces") or ()),
        resources=tuple(rule.get("resources") or ()),
        urls=tuple(rule.get("nonResourceURLs") or ()),
    )


# ----- the file


def load(path: Path) -> Policy:
    """The policy of a file. ValueError with the file, the field and the reason."""
    try:
        document, repeated = strictyaml.load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"--audit-policy-file {path}: cannot be read: {error}") from error
    problems = list(_problems(document))
    if problems:
        raise ValueError(f"--audit-policy-file {path}: {'; '.join(problems)}")
    for text in (*repeated, *_unknown(document)):
        _log.warning("audit policy", file=str(path), problem=text)
    return Policy(document)


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict):
        yield "must be a mapping"
        return
    if (document.get("apiVersion"), document.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        yield (
            f"apiVersion, kind: Invalid value: {document.get('apiVersion')!r}, {document.get('kind')!r}: "
            "must be audit.k8s.io/v1, Policy"
        )
    yield from _wrong_stages(document, "omitStages")
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules:
        yield "rules: Required value: loaded illegal policy with 0 rules"
        return
    for number, rule in enumerate(rules):
        if isinstance(rule, dict):
            yield from _wrong_rule(rule, f"rules[{number}]")
        else:
            yield f"rules[{number}]: Invalid value: must be a mapping"


def _wrong_rule(rule: dict[str, Any], at: str) -> Iterator[str]:
    level = rule.get("level")
    if not level:
        yield f"{at}.level: Required value"
    elif level not in LEVELS:
        supported = ", ".join(f'"{known}"' for known in LEVELS)
        yield f'{at}.level: Unsupported value: "{level}": supported values: {supported}'
    lists = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "resources")
    wrong = [name for name in lists if not isinstance(rule.get(name) or [], list)]
    yield from (f"{at}.{name}: Invalid value: must be a list" for name in wrong)
    if wrong:
        return
    yield from _wrong_stages(rule, f"{at}.omitStages")
    yield from _wrong_urls(rule, at)
    for number, group in enumerate(rule.get("resources") or ()):
        yield from _wrong_resources(group, f"{at}.resources[{number}]")


def _wrong_stages(holder: dict[str, Any], at: str) -> Iterator[str]:
    stages = holder.get("omitStages") or []
    if not isinstance(stages, list):
        yield f"{at}: Invalid value: must be a list"
        return
    for number, stage in enumerate(stages):
        if stage not in STAGES:
            yield f'{at}[{number}]: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}'


def _wrong_urls(rule: dict[str, Any], at: str) -> Iterator[str]:
    urls = rule.get("nonResourceURLs") or []
    for number, url in enumerate(urls):
        field = f'{at}.nonResourceURLs[{number}]: Invalid value: "{url}"'
        if url == "*":
            continue
        if not str(url).startswith("/"):
            yield f"{field}: non-resource URL rules must begin with a '/' character"
        if "*" in str(url)[:-1]:
            yield f"{field}: non-resource URL wildcards '*' must be the final character of the rule"
    if urls and (rule.get("resources") or rule.get("namespaces")):
        yield (
            f"{at}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and "
            "non-resource URLs"
        )


def _wrong_resources(group: Any, at: str) -> Iterator[str]:
    if not isinstance(group, dict):
        yield f"{at}: Invalid value: must be a mapping"
        return
    name = group.get("group") or ""
    if name:
        yield from (f'{at}.group: Invalid value: "{name}": {why}' for why in names.dns_subdomain(name))
    if group.get("resourceNames") and not group.get("resources"):
        yield f"{at}.resourceNames: Invalid value: using resourceNames requires at least one resource"


def _unknown(document: dict[str, Any]) -> Iterator[str]:
    yield from (f'unknown field "{name}"' for name in sorted(set(document) - _POLICY_FIELDS))
    for number, rule in enumerate(document["rules"]):
        yield from (f'unknown field "rules[{number}].{name}"' for name in sorted(set(rule) - _RULE_FIELDS))
