"""Runs controllers side by side over shared informers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kdist.client.informer import InformerFactory
from kdist.client.rest import Client
from kdist.config.controller_manager import ControllerManagerSettings
from kdist.controllers.base import Context, Controller
from kdist.controllers.bootstraptokens.cleaner import TokenCleaner
from kdist.controllers.bootstraptokens.signer import BootstrapSigner
from kdist.controllers.certificates.approver import CertificateApprover
from kdist.controllers.certificates.cleaner import CertificateCleaner
from kdist.controllers.certificates.serving import ServingApprover
from kdist.controllers.certificates.signer import CertificateSigner
from kdist.controllers.clusterroleaggregation.controller import ClusterRoleAggregationController
from kdist.controllers.cronjob.controller import CronJobController
from kdist.controllers.daemonset.controller import DaemonSetController
from kdist.controllers.deployment.controller import DeploymentController
from kdist.controllers.disruption.controller import DisruptionController
from kdist.controllers.endpoints.controller import EndpointsController, EndpointSliceController
from kdist.controllers.endpoints.mirroring import EndpointSliceMirroringController
from kdist.controllers.ephemeralvolume.controller import EphemeralVolumeController
from kdist.controllers.garbagecollector.controller import GarbageCollector
from kdist.controllers.job.controller import JobController
from kdist.controllers.namespace.controller import NamespaceController
from kdist.controllers.nodeipam.controller import NodeIpamController
from kdist.controllers.nodelifecycle.controller import NodeLifecycleController
from kdist.controllers.nodelifecycle.eviction import TaintEvictionController
from kdist.controllers.persistentvolume.controller import PersistentVolumeController
from kdist.controllers.podautoscaler.controller import HorizontalPodAutoscalerController
from kdist.controllers.podgc.controller import PodGarbageCollector
from kdist.controllers.replicaset.controller import ReplicaSetController, ReplicationControllerController
from kdist.controllers.resourcequota.controller import ResourceQuotaController
from kdist.controllers.rootca.controller import RootCaPublisher
from kdist.controllers.serviceaccount.controller import ServiceAccountController
from kdist.controllers.serviceaccount.legacycleaner import LegacyTokenCleaner
from kdist.controllers.serviceaccount.tokens import ServiceAccountTokenController
from kdist.controllers.statefulset.controller import StatefulSetController
from kdist.controllers.ttl.controller import TtlAfterFinishedController
from kdist.controllers.volumeprotection.controller import (
    ClaimProtectionController,
    VolumeProtectionController,
)
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    EndpointsController,
    NamespaceController,
    ServiceAccountController,
    RootCaPublisher,
    GarbageCollector,
    NodeLifecycleController,
    TaintEvictionController,
    NodeIpamController,
    PodGarbageCollector,
    ClusterRoleAggregationController,
    DisruptionController,
    ResourceQuotaController,
    HorizontalPodAutoscalerController,
    PersistentVolumeController,
    EphemeralVolumeController,
    ClaimProtectionController,
    VolumeProtectionController,
    ServiceAccountTokenController,
    LegacyTokenCleaner,
    CertificateApprover,
    ServingApprover,
    CertificateSigner,
    CertificateCleaner,
    BootstrapSigner,
    TokenCleaner,
)


class UnknownController(ValueError):
    """``--controllers`` names one that does not exist."""


def select(names: Iterable[str]) -> list[type[Controller]]:
    """The controllers that ``--controllers`` asks for. Raises UnknownController."""
    names = list(names)
    known = {c.name for c in CONTROLLERS}
    if unknown := {n.removeprefix("-") for n in names} - known - {"*"}:
        raise UnknownController(f"no such controller: {', '.join(sorted(unknown))}")
    return [
        c
        for c in CONTROLLERS
        if (c.name in names or ("*" in names and c.on_by_default)) and f"-{c.name}" not in names
    ]


async def run_controllers(client: Client, settings: ControllerManagerSettings) -> None:
    """Run the chosen controllers until cancelled."""
    informers = InformerFactory(client)
    context = Context(client, informers, settings)
    controllers = [kind(context) for kind in select(settings.controllers)]
    async with asyncio.TaskGroup() as group:
        await informers.run_all(group)
        for controller in controllers:
            group.create_task(controller.run(), name=controller.name)
        log.info("controllers started", count=len(controllers))
