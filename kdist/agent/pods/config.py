"""A pod as the runtime takes it: sandbox and container configurations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import labels
from kdist.agent.pods import env as environments
from kdist.agent.pods import mounts, names, paths, resources, security, sysctls
from kdist.agent.pods import spec as specs
from kdist.api import meta
from kdist.api.meta import Obj

_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}


def _identity(pod: Obj) -> dict[str, str]:
    return {
        labels.POD_NAME: meta.name(pod),
        labels.POD_NAMESPACE: meta.namespace(pod),
        labels.POD_UID: meta.uid(pod),
    }


def sandbox(
    pod: Obj, attempt: int, cgroup_parent: str, cluster: names.ClusterNames, logs: Path
) -> pb.PodSandboxConfig:
    """The configuration of the pod's sandbox."""
    resolver = names.resolver(pod, cluster)
    metadata = pb.PodSandboxMetadata(
        name=meta.name(pod), uid=meta.uid(pod), namespace=meta.namespace(pod), attempt=attempt
    )
    return pb.PodSandboxConfig(
        metadata=metadata,
        hostname=names.sandbox_hostname(pod, cluster.domain),
        log_directory=str(paths.log_directory(pod, logs)),
        dns_config=pb.DNSConfig(
            servers=resolver.servers, searches=resolver.searches, options=resolver.options
        ),
        port_mappings=port_mappings(pod),
        labels={**meta.labels(pod), **_identity(pod)},
        annotations={
            **meta.annotations(pod),
            labels.CONFIG_SOURCE: specs.source(pod),
            labels.GRACE_PERIOD: str(specs.grace_seconds(pod)),
        },
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=security.sandbox_context(pod),
            sysctls=sysctls.of(pod),
        ),
    )


def port_mappings(pod: Obj) -> list[pb.PortMapping]:
    """hostPorts for the portmap plug-in; host network needs none."""
    if specs.host_network(pod):
        return []
    sidecars = [c for c in specs.init_containers(pod) if specs.is_sidecar(c)]
    return [
        pb.PortMapping(
            protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
            container_port=port["containerPort"],
            host_port=port["hostPort"],
            host_ip=port.get("hostIP") or "",
        )
        for container in (*sidecars, *specs.containers(pod))
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What a container's configuration needs beside the pod; the worker has gathered and checked it."""

    attempt: int
    image: pb.Image
    env: dict[str, str]
    mounts: Sequence[pb.Mount]
    devices: Sequence[pb.Device]
    memory_capacity: int
    seccomp_root: Path
    unified_cgroup: bool = False
    target_id: str = ""


def container(pod: Obj, spec: Obj, facts: ContainerFacts) -> pb.ContainerConfig:
    """The configuration of one container. Raises ConfigError."""
    name = spec["name"]
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=facts.attempt),
        image=pb.ImageSpec(image=facts.image.id),
        command=environments.expanded(spec.get("command"), facts.env),
        args=environments.expanded(spec.get("args"), facts.env),
        working_dir=spec.get("workingDir") or "",
        envs=[pb.KeyValue(key=k, value=v) for k, v in facts.env.items()],
        mounts=facts.mounts,
        devices=facts.devices,
        labels={labels.CONTAINER_NAME: name, **_identity(pod)},
        annotations={
            labels.CONTAINER_HASH: specs.container_hash(spec),
            labels.RESTART_COUNT: str(facts.attempt),
            labels.MESSAGE_PATH: spec.get("terminationMessagePath") or mounts.DEFAULT_MESSAGE_PATH,
            labels.MESSAGE_POLICY: spec.get("terminationMessagePolicy") or "File",
            labels.GRACE_PERIOD: str(specs.grace_seconds(pod)),
        },
        log_path=paths.log_name(name, facts.attempt),
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
        linux=pb.LinuxContainerConfig(
            resources=linux_resources(pod, spec, facts.memory_capacity, facts.unified_cgroup),
            security_context=security.container_context(
                pod, spec, facts.image, facts.seccomp_root, facts.target_id
            ),
        ),
    )


def linux_resources(
    pod: Obj, spec: Obj, memory_capacity: int, unified_cgroup: bool
) -> pb.LinuxContainerResources:
    """The container's cgroup limits and its place in the queue of the OOM killer."""
    limits = resources.container_limits(spec)
    huge = resources.hugepage_limits(spec)
    return pb.LinuxContainerResources(
        cpu_period=resources.CPU_PERIOD,
        cpu_quota=limits.cpu_quota or 0,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory or 0,
        oom_score_adj=resources.oom_score_adj(pod, spec, memory_capacity),
        hugepage_limits=[pb.HugepageLimit(page_size=size, limit=limit) for size, limit in huge.items()],
        # One process out of memory ends the whole container, as on cgroup v1 with one process.
        unified={"memory.oom.group": "1"} if unified_cgroup else {},
    )
