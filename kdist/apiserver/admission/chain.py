"""The order of the plug-ins, which is upstream's: what completes an object runs before what counts it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kdist.api import features as gates
from kdist.api.errors import ApiError
from kdist.api.features import Features
from kdist.apiserver import metrics
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


class _Step:
    """The plug-ins of one step for one kind of request, with where their times are counted.

    Plug-ins that do nothing in the step are not even called.
    """

    def __init__(self, plugins: Sequence[Plugin], step: str, operation: Operation) -> None:
        admits = step == "admit"
        base = Plugin.admit if admits else Plugin.validate
        busy = [p for p in plugins if (type(p).admit if admits else type(p).validate) is not base]
        verb = operation.upper()
        names = [type(plugin).__name__ for plugin in busy]
        self._calls = [
            (
                plugin.admit if admits else plugin.validate,
                metrics.ADMISSION_PLUGINS.at(name, step, verb, "false"),
                (name, step, verb, "true"),
            )
            for plugin, name in zip(busy, names, strict=True)
        ]
        self._whole = metrics.ADMISSION_STEPS.at(step, verb, "false")
        self._refused = (step, verb, "true")

    async def run(self, request: Request) -> None:
        """Let the plug-ins work. Raises the refusing plug-in's ApiError."""
        begun = last = time.monotonic()
        for call, series, refused in self._calls:
            try:
                await call(request)
            except ApiError:
                now = time.monotonic()
                metrics.ADMISSION_PLUGINS.at(*refused).observe(now - last)
                metrics.ADMISSION_STEPS.at(*self._refused).observe(now - begun)
                raise
            now = time.monotonic()
            series.observe(now - last)
            last = now
        self._whole.observe(last - begun)


class Chain:
    """Runs the plug-ins that concern a request, in order; the first refusal ends it."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._selected: dict[tuple[Target, Operation], tuple[_Step, _Step]] = {}

    async def admit(self, request: Request) -> None:
        """Let every plug-in complete ``request.obj``. Raises the refusing plug-in's ApiError."""
        step = self._for(request)[0]
        await step.run(request)
        if request.rounds.again:
            request.rounds.again, request.rounds.second = False, True
            await step.run(request)

    async def validate(self, request: Request) -> None:
        """Let every plug-in check the finished object. Raises the refusing plug-in's ApiError."""
        await self._for(request)[1].run(request)

    def _for(self, request: Request) -> tuple[_Step, _Step]:
        key = (request.target, request.verb)
        steps = self._selected.get(key)
        if steps is None:
            plugins = [p for p in self._plugins if p.handles(*key)]
            steps = _Step(plugins, "admit", request.verb), _Step(plugins, "validate", request.verb)
            self._selected[key] = steps
        return steps


def default_chain(
    reader: Reader,
    writer: Writer,
    authorizer: Authorizer,
    features: Features = gates.DEFAULT,
    *,
    extensions: Sequence[Plugin] = (),
) -> Chain:
    """The plug-ins that are on by default; ``extensions`` are those that users configure."""
    return Chain(
        [
            NamespaceLifecycle(reader, writer),
            LimitRanger(reader),
            ServiceAccount(reader, writer),
            NodeRestriction(reader, writer, authorizer, features),
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
