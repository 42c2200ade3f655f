"""The order of the plug-ins, which is upstream's: what completes an object runs before what counts it."""

from __future__ import annotations

from collections.abc import Sequence

from kdist.apiserver.admission.base import Operation, Plugin, Request, Target
from kdist.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateIdentity,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from kdist.apiserver.admission.claimresize import PersistentVolumeClaimResize
from kdist.apiserver.admission.defaultclass import DefaultIngressClass, DefaultStorageClass
from kdist.apiserver.admission.defaulttolerationseconds import DefaultTolerationSeconds
from kdist.apiserver.admission.limitranger import LimitRanger
from kdist.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kdist.apiserver.admission.noderestriction import NodeRestriction
from kdist.apiserver.admission.podsecurity import PodSecurity
from kdist.apiserver.admission.priority import Priority
from kdist.apiserver.admission.rbacescalation import RBACEscalation
from kdist.apiserver.admission.resourcequota import ResourceQuota
from kdist.apiserver.admission.runtimeclass import RuntimeClass
from kdist.apiserver.admission.serviceaccount import ServiceAccount
from kdist.apiserver.admission.storageprotection import StorageObjectInUseProtection
from kdist.apiserver.admission.taintnodesbycondition import TaintNodesByCondition
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.ports import Reader, Writer


class Chain:
    """Runs the plug-ins that concern a request, in order; the first refusal ends it."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._selected: dict[tuple[Target, Operation], tuple[Plugin, ...]] = {}

    async def admit(self, request: Request) -> None:
        """Let every plug-in complete ``request.obj``. Raises the refusing plug-in's ApiError."""
        for plugin in self._for(request):
            await plugin.admit(request)
        if request.rounds.again:
            request.rounds.again, request.rounds.second = False, True
            for plugin in self._for(request):
                await plugin.admit(request)

    async def validate(self, request: Request) -> None:
        """Let every plug-in check the finished object. Raises the refusing plug-in's ApiError."""
        for plugin in self._for(request):
            await plugin.validate(request)

    def _for(self, request: Request) -> tuple[Plugin, ...]:
        key = (request.target, request.verb)
        plugins = self._selected.get(key)
        if plugins is None:
            plugins = tuple(p for p in self._plugins if p.handles(*key))
            self._selected[key] = plugins
        return plugins


def default_chain(
    reader: Reader, writer: Writer, authorizer: Authorizer, *, extensions: Sequence[Plugin] = ()
) -> Chain:
    """The plug-ins that are on by default; ``extensions`` are those that users configure."""
    return Chain(
        [
            NamespaceLifecycle(reader, writer),
            LimitRanger(reader),
            ServiceAccount(reader, writer),
            NodeRestriction(reader, writer),
            TaintNodesByCondition(),
            PodSecurity(reader, writer),
            Priority(reader, writer),
            DefaultTolerationSeconds(),
            DefaultStorageClass(reader),
            StorageObjectInUseProtection(),
            PersistentVolumeClaimResize(reader),
            RuntimeClass(reader, writer),
            CertificateIdentity(),
            CertificateApproval(authorizer),
            CertificateSigning(authorizer),
            CertificateSubjectRestriction(),
            DefaultIngressClass(reader),
            RBACEscalation(authorizer),
            *extensions,
            ResourceQuota(reader, writer),
        ]
    )
