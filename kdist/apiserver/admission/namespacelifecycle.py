"""Nothing is made in namespaces that do not exist or are going away; system namespaces stay."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.kinds import NAMESPACES
from kdist.apiserver.admission.base import CHANGES, Plugin, Request
from kdist.apiserver.ports import Obj, Reader, Writer

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
# Asking whether something would be allowed is fine in any namespace.
_REVIEWS = ("authorization.k8s.io", "localsubjectaccessreviews")


class NamespaceLifecycle(Plugin):
    """Refuses writes into missing namespaces and creations in terminating ones."""

    operations = CHANGES

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def admit(self, request: Request) -> None:
        """Refuse, or let pass."""
        if request.resource == NAMESPACES:
            if request.verb == "delete" and request.name in IMMORTAL:
                raise request.forbidden("this namespace may not be deleted")
            return
        if not request.namespace or request.verb == "delete" or request.target == _REVIEWS:
            return
        namespace = await self._namespace(request.namespace)
        terminating = meta.is_deleting(namespace) or meta.get(namespace, "status.phase") == "Terminating"
        if request.verb == "create" and terminating:
            raise _terminating(request)

    async def _namespace(self, name: str) -> Obj:
        """From the cache, or, since that may lag behind a creation, from storage. NotFound."""
        found = self._reader.get(NAMESPACES, None, name)
        return found if found is not None else await self._writer.get(NAMESPACES, None, name)


def _terminating(request: Request) -> Exception:
    namespace = request.namespace
    error = request.forbidden(
        f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    error.causes = (
        Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating"),
    )
    return error
