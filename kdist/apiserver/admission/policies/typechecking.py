"""The status of policies: how their expressions fit the types of what they concern.

Upstream's controller manager does this; here it stands beside the compiler, in the API server. A finding is a
warning only: it never changes what a policy does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdist.api.meta import Obj
from kdist.api.schema import Schema
from kdist.api.scheme import Scheme
from kdist.apiserver.admission.policies.compilation import Scope
from kdist.apiserver.admission.policies.configured import POLICIES
from kdist.apiserver.cel import CompileError, types
from kdist.apiserver.cel.escaping import escape
from kdist.apiserver.cel.types import DYN, DeclType
from kdist.apiserver.ports import Reader, Writer
from kdist.apiserver.settling import Settling

TYPES_LIMIT = 10
_SIMPLE: Mapping[str, DeclType] = {
    "string": types.STRING,
    "integer": types.INT,
    "number": types.DOUBLE,
    "boolean": types.BOOL,
    "time": types.TIMESTAMP,
    "micro-time": types.TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A type that a policy concerns: ``apps/v1, Kind=Deployment``."""

    name: str
    declared: DeclType


def warnings(policy: Obj, subjects: Sequence[Checked], param: DeclType | None) -> list[Obj]:
    """The expressionWarnings of a policy. Pure."""
    found: list[Obj] = []
    scopes = [(subject, _scope(policy, subject, param)) for subject in subjects]
    for field, expression in _expressions(policy["spec"]):
        told = [_finding(subject, scope, expression) for subject, scope in scopes]
        if any(told):
            found.append({"fieldRef": field, "warning": "\n".join(text for text in told if text)})
    return found


def _expressions(spec: Obj) -> Iterator[tuple[str, str]]:
    for at, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            if validation.get(name):
                yield f"spec.validations[{at}].{name}", validation[name]


def _scope(policy: Obj, subject: Checked, param: DeclType | None) -> Scope:
    spec = policy["spec"]
    scope = Scope(
        params=spec.get("paramKind") is not None,
        variables=bool(spec.get("variables")),
        subject=subject.declared,
        param=param or DYN,
    )
    for variable in spec.get("variables") or ():
        scope.declare(variable["name"], variable["expression"])
    return scope


def _finding(subject: Checked, scope: Scope, expression: str) -> str:
    try:
        scope.environment().check(expression)
    except CompileError as error:
        return f"{subject.name}: {str(error).removeprefix('compilation failed: ')}\n"
    return ""


def concerned(policy: Obj, scheme: Scheme) -> list[Checked]:
    """The types a policy names outright, in order; those that are not served are left out."""
    kinds: set[tuple[str, str, str]] = set()
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        kinds.update(_kinds(rule, scheme))
    found = []
    for group, version, kind in sorted(kinds)[:TYPES_LIMIT]:
        api_version = f"{group}/{version}" if group else version
        schema = scheme.schema(api_version, kind)
        if schema is not None:
            found.append(Checked(f"{group}/{version}, Kind={kind}", declare(schema)))
    return found


def _kinds(rule: Obj, scheme: Scheme) -> Iterator[tuple[str, str, str]]:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if any("*" in name for name in (*groups, *versions)):
        return
    for group in groups:
        for version in versions:
            for plural in rule.get("resources") or ():
                resource = scheme.by_path(group, version, plural)
                if resource is not None:
                    yield group, version, resource.kind


def declare(schema: Schema, above: tuple[str, ...] = ()) -> DeclType:
    """The type of a published type; a type inside itself and what has no one type are dynamic."""
    if schema.kind in _SIMPLE:
        return _SIMPLE[schema.kind]
    if schema.kind in ("array", "map") and schema.items is not None:
        element = declare(schema.items, above)
        return types.list_of(element) if schema.kind == "array" else types.map_of(element)
    if schema.kind != "object" or not schema.properties or (schema.name and schema.name in above):
        return DYN
    inside = (*above, schema.name)
    fields = {
        escaped: declare(child, inside)
        for name, child in schema.properties.items()
        if (escaped := escape(name)) is not None
    }
    return types.object_of(fields, schema.short_name or "object")


class TypeChecking:
    """Keeps the status of all policies. :meth:`follow` before the server starts, :meth:`run` while it serves.

    Every server does this; it does not matter who writes first.
    """

    def __init__(self, reader: Reader, writer: Writer, scheme: Scheme) -> None:
        self._reader, self._writer, self._scheme = reader, writer, scheme
        self._settling = Settling(POLICIES.kind, self._sync)

    def follow(self) -> None:
        """Hear of policies."""
        self._reader.on_change(POLICIES, self._changed)

    def _changed(self, _: str, name: str, policy: Obj | None) -> None:
        if policy is not None and _outdated(policy):
            self._settling.add(name)

    async def run(self) -> None:
        """Write status after status."""
        await self._settling.run()

    async def _sync(self, name: str) -> None:
        policy = self._reader.get(POLICIES, None, name)
        if policy is None or not _outdated(policy):
            return
        await self._writer.update(POLICIES, {**policy, "status": self._status(policy)}, subresource="status")

    def _status(self, policy: Obj) -> Obj:
        kind = policy["spec"].get("paramKind")
        schema = self._scheme.schema(kind["apiVersion"], kind["kind"]) if kind else None
        found = warnings(policy, concerned(policy, self._scheme), declare(schema) if schema else None)
        return {
            **(policy.get("status") or {}),
            "observedGeneration": policy["metadata"]["generation"],
            "typeChecking": {"expressionWarnings": found} if found else {},
        }


def _outdated(policy: Obj) -> bool:
    seen: int = (policy.get("status") or {}).get("observedGeneration", 0)
    return bool(policy["metadata"].get("generation", 0) > seen)
