"""Is every host fit for its part? Observations in, problems and warnings out; nothing is changed.

Observations come from the module ``kdist_preflight`` (one mapping a host, or None for a host that did not
answer); their shape is documented there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdist.config.bundle import RELEASES
from kdist.lifecycle import surroundings
from kdist.lifecycle.spec import PREFIX, ClusterSpec, HostSpec, Problem

MIB = 1024 * 1024
# Measured: control plane 350 MiB and etcd 50, agent 85, containerd 50, add-ons 200; the rest is for pods.
MEMORY_CONTROL_PLANE = 1500 * MIB
MEMORY_WORKER = 900 * MIB
# With less at hand than this, starting the parts would push other things of the host out.
MEMORY_AVAILABLE = 500 * MIB
# Release 250 MB, bundle 330 MB, images packed and unpacked 900 MB; etcd grows to 2 GiB, but not at once.
DISK_FREE = {
    "/opt": 350 * MIB,
    "/var/lib/containerd": 1250 * MIB,
    "/var/lib/kdist": 400 * MIB,
    "/var/lib/kubelet": 100 * MIB,
    "/var/log": 100 * MIB,
}
DISK_FREE_CONTROL_PLANE = {"/var/lib/etcd": 300 * MIB}
# Below this share of free inodes upstream's kubelet evicts pods.
INODES_FREE = 0.05
SUPPORTED_RELEASES = frozenset(RELEASES)
NODE_PORTS = {10250: "agent", 10256: "service proxy health", 10257: "controller manager", 10259: "scheduler"}
CONTROL_PLANE_PORTS = {2379: "etcd clients", 2380: "etcd peers"}
# Networks to which a running cluster may add one of the other family.
GROWING = ("pod_cidr", "service_cidr")
NEEDED_CONTROLLERS = ("cpu", "memory", "pids", "cpuset")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Problems stop the run; warnings are shown."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    authority_holder: str
    """The control plane that signs: the first that has the cluster's authority, else the first."""
    first: str = ""
    """The first control plane that was looked at: it applies the parts of the cluster. Empty: none was."""
    with_etcd_data: tuple[str, ...] = ()
    """Control planes that have etcd data, or were not looked at and may have some."""

    def joining(self, spec: ClusterSpec) -> tuple[str, ...]:
        """Control planes that join an etcd cluster which is there already: one after the other."""
        if not self.with_etcd_data:
            return ()
        return tuple(h.name for h in spec.control_planes if h.name not in self.with_etcd_data)


def judge(spec: ClusterSpec, observed: Mapping[str, Mapping[str, Any] | None]) -> Verdict:
    """Judge every host of ``observed``; hosts that are not in it (``--limit``) are taken to be as they should."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for host in spec.hosts:
        if host.name not in observed:
            continue
        facts = observed.get(host.name)
        if facts is None:
            problems.append(Problem(host.name, "ansible_host", f"unreachable at {host.address} over ssh"))
            continue
        problems += _host_problems(spec, host, facts)
        problems += [Problem(host.name, "", r) for r in surroundings.problems(spec, host, observed)]
        warnings += _host_warnings(host, facts)
        warnings += [Problem(host.name, "", r) for r in surroundings.warnings(spec, host, observed)]
    warnings += surroundings.clock_warnings(observed)
    warnings += _even(spec)
    with_data = tuple(h.name for h in spec.control_planes if _may_have_data(observed, h.name))
    first = next((h.name for h in spec.control_planes if observed.get(h.name)), "")
    return Verdict(tuple(problems), tuple(warnings), _holder(spec, observed), first, with_data)


def _may_have_data(observed: Mapping[str, Mapping[str, Any] | None], name: str) -> bool:
    facts = observed.get(name)
    return facts is None or bool(facts["has_etcd_data"])


def _holder(spec: ClusterSpec, observed: Mapping[str, Mapping[str, Any] | None]) -> str:
    for host in spec.control_planes:
        facts = observed.get(host.name)
        if facts and facts["has_authority"]:
            return host.name
    return spec.control_planes[0].name


def _host_problems(spec: ClusterSpec, host: HostSpec, facts: Mapping[str, Any]) -> Iterator[Problem]:
    for reason in (
        *_system(facts),
        *_resources(host, facts),
        *_ports(spec, host, facts),
        *_others(facts),
        *_addresses(host, facts),
    ):
        yield Problem(host.name, "", reason)
    for key, there in facts["founded_on"].items():
        wanted = str(getattr(spec.settings, key))
        if wanted != there and not _adds_family(key, wanted, there):
            reason = f"is {wanted}, and the cluster was made with {there}, which its objects use"
            reason += f": set it to {there} again"
            yield Problem(host.name, f"{PREFIX}{key}", reason)


def _adds_family(key: str, wanted: str, there: str) -> bool:
    """Whether a cluster gets its second network (dual stack), which is all that may change of its networks."""
    return key in GROWING and "," not in there and wanted.startswith(f"{there},")


def _system(facts: Mapping[str, Any]) -> Iterator[str]:
    release = (facts["os_id"], facts["os_version"])
    if release not in SUPPORTED_RELEASES:
        known = ", ".join(" ".join(pair) for pair in sorted(SUPPORTED_RELEASES))
        yield f"runs {' '.join(release)}; supported are {known}"
    if facts["init"] != "systemd":
        yield f"process 1 is {facts['init']}, not systemd"
    if facts["user_id"] != 0:
        yield "the connection is not root's; set ansible_user or ansible_become"
    for name in NEEDED_CONTROLLERS:
        if name not in facts["cgroup_controllers"]:
            yield f"the kernel has no {name} cgroup controller (boot parameter cgroup_enable={name}?)"


def _resources(host: HostSpec, facts: Mapping[str, Any]) -> Iterator[str]:
    least = MEMORY_CONTROL_PLANE if host.control_plane else MEMORY_WORKER
    if facts["memory_total"] < least:
        role = "control plane" if host.control_plane else "worker"
        yield f"has {facts['memory_total'] // MIB} MiB of memory; a {role} needs {least // MIB} MiB"
    if not facts["installed"]:
        yield from _disks(host, facts["disks"])


def _disks(host: HostSpec, disks: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Room by file system: what several places need of one adds up."""
    needs = DISK_FREE | (DISK_FREE_CONTROL_PLANE if host.control_plane else {})
    for device in dict.fromkeys(disks[place]["device"] for place in needs):
        places = [place for place in needs if disks[place]["device"] == device]
        free, need = disks[places[0]]["free"], sum(needs[place] for place in places)
        if free < need:
            yield f"has {free // MIB} MiB free for {', '.join(places)}; {need // MIB} MiB are needed there"


def _ports(spec: ClusterSpec, host: HostSpec, facts: Mapping[str, Any]) -> Iterator[str]:
    ports = dict(NODE_PORTS)
    if host.control_plane:
        ports |= CONTROL_PLANE_PORTS | {spec.settings.api_port: "API server"}
    for listener in facts["listeners"]:
        if listener["port"] in ports and not listener["ours"]:
            part = ports[listener["port"]]
            owner = listener["process"] or "an unknown process"
            yield f"port {listener['port']} ({part}) is in use by {owner}"


def _others(facts: Mapping[str, Any]) -> Iterator[str]:
    for service in facts["foreign_services"]:
        yield f"{service} is running; one host cannot carry two Kubernetes distributions"


def _addresses(host: HostSpec, facts: Mapping[str, Any]) -> Iterator[str]:
    for address in host.addresses:
        if address not in facts["addresses"]:
            has = ", ".join(facts["addresses"]) or "none"
            yield f"has no interface with address {address} (it has {has}); set kdist_node_ip"


def _even(spec: ClusterSpec) -> Iterator[Problem]:
    """An even number is where growing and shrinking pass through."""
    count = len(spec.control_planes)
    if count % 2 == 0:
        reason = f"{count} control planes survive the loss of no more hosts than {count - 1}; etcd wants an odd number"
        yield Problem("all", "", reason)


def _host_warnings(host: HostSpec, facts: Mapping[str, Any]) -> Iterator[Problem]:
    if facts["swap_total"]:
        yield Problem(
            host.name, "", f"uses {facts['swap_total'] // MIB} MiB of swap; memory limits are less strict"
        )
    if facts["memory_available"] < MEMORY_AVAILABLE and not facts["installed"]:
        reason = f"has {facts['memory_available'] // MIB} MiB of memory at hand; what else runs there takes the rest"
        yield Problem(host.name, "", reason)
    for place, disk in facts["disks"].items():
        if disk["inodes"] and disk["inodes_free"] < INODES_FREE * disk["inodes"]:
            reason = (
                f"the file system of {place} has {disk['inodes_free']} inodes left; a file needs one each"
            )
            yield Problem(host.name, "", reason)
    if facts["read_only_sysctls"]:
        names = ", ".join(facts["read_only_sysctls"])
        yield Problem(host.name, "", f"cannot set {names}; the values of the machine below it stay in force")
