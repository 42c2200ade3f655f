"""What policies that validate and policies that mutate have in common: which requests they concern, and with what."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from kdist.api import meta
from kdist.api.kinds import NAMESPACES, Kind
from kdist.api.scheme import Scheme
from kdist.api.selectors import LabelSelector
from kdist.apiserver.admission import versions
from kdist.apiserver.admission.base import ALL, Operation, Plugin, Request
from kdist.apiserver.admission.expressions import subject
from kdist.apiserver.admission.policies.compilation import AnyPolicy, Binding
from kdist.apiserver.admission.policies.matching import EVERYTHING
from kdist.apiserver.admission.policies.params import ConfigurationError, Lookup
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.ports import Obj, Reader, Writer

P = TypeVar("P", bound=AnyPolicy)


class BoundPolicies(Plugin, Generic[P]):
    """A link of the admission chain that applies policies by their bindings."""

    operations: ClassVar[frozenset[Operation]] = ALL

    def __init__(
        self, reader: Reader, writer: Writer, scheme: Scheme, authorizer: Authorizer, lookup: Lookup
    ) -> None:
        self._reader, self._writer, self._scheme = reader, writer, scheme
        self._authorizer, self._lookup = authorizer, lookup
        self._equivalents = versions.Equivalents(scheme)

    async def _matched_kind(self, bound: P | Binding, request: Request) -> Kind | None:
        """The coordinates under which a policy or a binding wants the request."""
        matches = bound.matches
        if matches is EVERYTHING:
            return request.resource
        if not matches.selects_object(request):
            return None
        if not await self._in_selected_namespace(matches.namespaces, request):
            return None
        return matches.matched_kind(request, self._equivalents.of(request.resource))

    async def _in_selected_namespace(self, namespaces: LabelSelector, request: Request) -> bool:
        """Whether the request's namespace is selected; what is in none is in every selection."""
        if namespaces.everything:
            return True
        found = await self._namespace(request)
        return found is None or namespaces.matches(meta.labels(found))

    async def _namespace(self, request: Request) -> Obj | None:
        is_namespace = request.resource == NAMESPACES
        if is_namespace and not request.subresource and request.obj is not None:
            return request.obj
        name = request.name if is_namespace else request.namespace
        if not name:
            return None
        found = self._reader.get(NAMESPACES, None, name)
        if found is None:  # the cache may lag behind the namespace's creation
            found = await self._writer.get(NAMESPACES, None, name)
        return found

    async def _values(self, kind: Kind, request: Request) -> dict[str, Any]:
        obj, old = (
            versions.converted(self._scheme, o, kind, request) for o in (request.obj, request.sent_old)
        )
        namespace = None if request.resource == NAMESPACES else await self._namespace(request)
        return subject.bindings(request, kind, obj, old, authorizer=self._authorizer, namespace=namespace)

    def _param_kind(self, policy: P) -> Kind | None:
        """The kind of the policy's parameters. ConfigurationError when it is not served."""
        if policy.param_kind is None:
            return None
        api_version, kind = policy.param_kind
        resource = self._scheme.by_kind(api_version, kind)
        if resource is None:
            told = f"{api_version}, Kind={kind}"
            raise ConfigurationError(f"failed to find resource referenced by paramKind: '{told}'")
        return Kind(resource.group, resource.version, resource.plural, kind, resource.namespaced)
