"""Hosts: reachable, running, with room, with the same time and the same release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Picture

Found = Iterator[tuple[Severity, Told]]
GIB = 1 << 30
# Upstream's kubelet evicts pods below 10% of free space and 5% of free inodes.
EVICTION_SHARE, INODE_SHARE = 0.10, 0.05
FULL_SHARE = 0.02
# etcd itself warns when the clocks of two members differ by more than this.
CLOCK_SECONDS = 1.0
AGENT, RUNTIME = "kdist-agent.service", "containerd.service"


@check("host-unreachable")
def unreachable(picture: Picture) -> Found:
    """Hosts that ssh does not get to."""
    for host in picture.hosts:
        if host.facts is None:
            yield error(
                host.name,
                "does not answer over ssh",
                host.reason,
                f"switch {host.name} on and see to its network; it joins again by itself",
            )


@check("not-installed")
def not_installed(picture: Picture) -> Found:
    """Hosts of the inventory on which there is no release."""
    for host, facts in picture.answering:
        if not _version(facts):
            yield error(
                host.name,
                "has no kdist release",
                "it was never installed, or it was reset",
                f"ansible-playbook site.yml --limit {host.name}",
            )


@check("agent-down")
def agent_down(picture: Picture) -> Found:
    """The agent's and the runtime's units."""
    for host, facts in picture.answering:
        if not _version(facts):
            continue
        for unit, name in ((RUNTIME, "container runtime"), (AGENT, "node agent")):
            state = facts["units"].get(unit) or {}
            if state.get("ActiveState") == "active":
                continue
            log = (state.get("log") or "").splitlines()
            shown = f"{state.get('ActiveState', 'unknown')} ({state.get('SubState', '')})"
            cause = f"{unit} is {shown}" + (f"; it said: {log[-1]}" if log else "")
            if state.get("LoadState") != "loaded":
                cause = f"{unit} is not installed"
            yield error(host.name, f"the {name} does not run", cause, _start(host.name, unit, state))


def _start(host: str, unit: str, state: Mapping[str, Any]) -> str:
    if state.get("LoadState") != "loaded":
        return f"ansible-playbook site.yml --limit {host}"
    return f"on {host}: systemctl start {unit}; if it fails: journalctl -u {unit}"


@check("disk-full")
def disk_full(picture: Picture) -> Found:
    """Space and inodes, once a file system."""
    for host, facts in picture.answering:
        seen = set()
        for place, disk in facts["disks"].items():
            if not isinstance(disk, Mapping) or disk["device"] in seen or not disk["size"]:
                continue
            seen.add(disk["device"])
            free, inodes = disk["free"] / disk["size"], disk["inodes_free"] / (disk["inodes"] or 1)
            mend = f"make room on {host.name}; unused images: crictl rmi --prune, logs: journalctl --vacuum-size=200M"
            if free < EVICTION_SHARE:
                level = error if free < FULL_SHARE else warning
                room = f"{disk['free'] / GIB:.1f} of {disk['size'] / GIB:.1f} GiB free"
                yield level(host.name, f"the disk under {place} is nearly full", room, mend)
            elif disk["inodes"] and inodes < INODE_SHARE:
                yield warning(
                    host.name, f"the disk under {place} has few inodes left", f"{inodes:.0%} are free", mend
                )


@check("clock-skew")
def clock_skew(picture: Picture) -> Found:
    """Clocks that differ for certain, each measured between sending the question and receiving the answer."""
    clocks = {host.name: host.clock for host in picture.hosts if host.clock}
    if len(clocks) < 2:
        return
    # The clock that fits most others is right, as far as can be told from here.
    names = sorted(
        clocks, key=lambda name: -sum(_gap(clocks[name], other) <= CLOCK_SECONDS for other in clocks.values())
    )
    reference = names[0]
    for name in names[1:]:
        gap = _gap(clocks[name], clocks[reference])
        if gap > CLOCK_SECONDS:
            ahead = "ahead of" if clocks[name][0] > clocks[reference][1] else "behind"
            yield error(
                name,
                f"its clock is at least {gap:.0f} s {ahead} that of {reference}",
                "time is not synchronised; certificates, leases and etcd suffer",
                f"on {name}: timedatectl set-ntp true, or mend its time server (chronyc tracking)",
            )


def _gap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The least by which two clocks differ: they are known between bounds."""
    return max(one[0] - other[1], other[0] - one[1], 0.0)


@check("version-skew")
def version_skew(picture: Picture) -> Found:
    """Hosts on different releases, unless an operation is moving them."""
    versions = {host.name: _version(facts) for host, facts in picture.answering if _version(facts)}
    if len(set(versions.values())) < 2:
        return
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield warning(
        "cluster", "hosts run different releases", told, "kdist upgrade status, then kdist upgrade resume"
    )


@check("missing-image")
def missing_image(picture: Picture) -> Found:
    """Images that static pods need and the runtime does not have."""
    for host, facts in picture.answering:
        there = facts.get("images")
        if not isinstance(there, list) or not isinstance(facts["manifests"], list):
            continue
        needed = {image for manifest in facts["manifests"] for image in manifest.get("images", ())}
        for image in sorted(needed - set(there)):
            yield error(
                host.name,
                f"the image {image} is missing",
                "a static pod needs it and the container runtime does not have it",
                f"ansible-playbook site.yml --limit {host.name} --tags always,release,runtime",
            )


@check("half-installed")
def half_installed(picture: Picture) -> Found:
    """What a run that was cut off has left."""
    for host, facts in picture.answering:
        left = facts["leftovers"]
        if left.get("packages"):
            yield error(
                host.name,
                "packages are half installed",
                left["packages"].splitlines()[0],
                f"on {host.name}: dpkg --configure -a, then ansible-playbook site.yml --limit {host.name}",
            )
        if left.get("partial"):
            yield warning(
                host.name,
                "a release was unpacked in part",
                ", ".join(left["partial"]),
                f"ansible-playbook site.yml --limit {host.name}",
            )


def _version(facts: Mapping[str, Any]) -> str:
    return str(facts["version"].get("current", ""))
