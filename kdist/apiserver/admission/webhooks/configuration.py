"""The configured webhooks, parsed once per change of a configuration."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from kdist.api import selectors
from kdist.api.kinds import Kind
from kdist.api.selectors import LabelSelector
from kdist.apiserver.admission.expressions import conditions
from kdist.apiserver.admission.expressions.conditions import NO_CONDITIONS, Conditions
from kdist.apiserver.ports import Obj, Reader

GROUP = "admissionregistration.k8s.io"
MUTATING = Kind(
    GROUP, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False
)
VALIDATING = Kind(
    GROUP, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False
)


@dataclass(frozen=True, slots=True)
class ServiceReference:
    """The Service behind a hook or an APIService."""

    namespace: str
    name: str
    port: int

    @property
    def server_name(self) -> str:
        """The name in the server's certificate."""
        return f"{self.name}.{self.namespace}.svc"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a hook wants to see; every tuple may hold ``*``."""

    operations: tuple[str, ...]
    groups: tuple[str, ...]
    versions: tuple[str, ...]
    resources: tuple[str, ...]
    scope: str


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. ``identity`` is unique among all of them; ``ca_bundle`` is PEM or empty."""

    identity: str
    name: str
    rules: tuple[Rule, ...]
    namespaces: LabelSelector
    objects: LabelSelector
    exact: bool
    ignore_failure: bool
    timeout: int
    side_effects: bool
    reinvoke: bool
    url: str
    service: ServiceReference | None
    path: str
    ca_bundle: bytes
    conditions: Conditions = NO_CONDITIONS

    @property
    def configuration(self) -> str:
        """The name of the object that it stands in."""
        return self.identity.partition("/")[0]


class Hooks:
    """All hooks of one kind of configuration, in the order in which they are called."""

    def __init__(self, reader: Reader, kind: Kind) -> None:
        self._by_configuration: dict[str, list[Hook]] = {}
        self._ordered: tuple[Hook, ...] = ()
        reader.on_change(kind, self._changed)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._ordered)

    def __bool__(self) -> bool:
        return bool(self._ordered)

    def _changed(self, _: str, name: str, configuration: Obj | None) -> None:
        if configuration is None:
            self._by_configuration.pop(name, None)
        else:
            self._by_configuration[name] = parse(name, configuration)
        self._ordered = tuple(
            hook
            for configured in sorted(self._by_configuration)
            for hook in self._by_configuration[configured]
        )


def parse(configuration: str, obj: Obj) -> list[Hook]:
    """The hooks of a configuration object."""
    return [_hook(f"{configuration}/{hook['name']}", hook) for hook in obj.get("webhooks") or ()]


def _hook(identity: str, hook: Obj) -> Hook:
    client = hook["clientConfig"]
    service = client.get("service")
    return Hook(
        identity=identity,
        name=hook["name"],
        rules=tuple(parse_rule(rule) for rule in hook.get("rules") or ()),
        namespaces=selectors.from_label_selector(hook.get("namespaceSelector") or {}),
        objects=selectors.from_label_selector(hook.get("objectSelector") or {}),
        exact=hook.get("matchPolicy") == "Exact",
        ignore_failure=hook.get("failurePolicy") == "Ignore",
        timeout=hook.get("timeoutSeconds") or 10,
        side_effects=hook.get("sideEffects") not in ("None", "NoneOnDryRun"),
        reinvoke=hook.get("reinvocationPolicy") == "IfNeeded",
        url=client.get("url") or "",
        service=service_reference(service) if service else None,
        path=(service or {}).get("path") or "/",
        ca_bundle=_decoded(client.get("caBundle") or ""),
        conditions=conditions.parse(hook.get("matchConditions") or ()),
    )


def service_reference(service: Obj) -> ServiceReference:
    """From a v1 ServiceReference of a webhook or an APIService."""
    return ServiceReference(service["namespace"], service["name"], service.get("port") or 443)


def parse_rule(rule: Obj) -> Rule:
    """From a v1 RuleWithOperations."""
    return Rule(
        operations=tuple(rule.get("operations") or ()),
        groups=tuple(rule.get("apiGroups") or ()),
        versions=tuple(rule.get("apiVersions") or ()),
        resources=tuple(rule.get("resources") or ()),
        scope=rule.get("scope") or "*",
    )


def _decoded(text: str) -> bytes:
    """A bundle that is no base64 is kept as it is: the call then fails for its sake, and says so."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
