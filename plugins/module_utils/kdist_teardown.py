"""What reset takes away from a host: pure plans from the ledger and an observation to steps.

A step is (what it does, subject); the module ``kdist_reset`` carries it out. What was there before kdist, what
others need and what the operator wants to keep is named with its reason instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

UNIT_DIRECTORY = "/etc/systemd/system"
UNIT_SUFFIXES = (
    ".timer",
    ".socket",
    ".path",
    ".service",
    ".mount",
    ".slice",
)  # in the order in which they stop
# kdist/net/events.py, kdist/net/plan.py, kdist/net/cni.py, kdist/net/masquerade.py, kdist/proxy/table.py
ROUTE_PROTOCOL = 112
LINKS = ("kdist-vxlan", "cni0")
TABLES = ("kdist-net", "kdist-proxy")
# Where the CNI plug-in portmap keeps its chains, through iptables.
IPTABLES = ("nat", "filter", "mangle", "raw")
# What --keep-data leaves: etcd's data and snapshots, local volumes, and the keys without which they are worthless.
DATA = (
    "/etc/kubernetes/pki",
    "/var/lib/etcd",
    "/var/lib/kdist/csi-local",
    "/var/lib/kdist/etcd-snapshots",
    "/var/lib/kdist/ledger",
)

Step = tuple[str, str]


@dataclass
class Plan:
    """Steps in order, and what stays with the reason."""

    steps: list[Step] = field(default_factory=list)
    stays: dict[str, str] = field(default_factory=dict)


def units(ledger: Mapping[str, Any]) -> list[str]:
    """Units that kdist wrote, in the order in which they are stopped: what starts others first."""
    names = [
        path.name
        for path, before in ((PurePosixPath(name), before) for name, before in ledger["files"].items())
        if str(path.parent) == UNIT_DIRECTORY and before is None and path.suffix in UNIT_SUFFIXES
    ]
    return sorted(names, key=lambda name: (UNIT_SUFFIXES.index(PurePosixPath(name).suffix), name))


@dataclass(frozen=True)
class Package:
    """An installed package: what it provides besides its name, and its dependencies, each a list of alternatives."""

    name: str
    provides: tuple[str, ...] = ()
    depends: tuple[tuple[str, ...], ...] = ()


def parse_package(name: str, provides: str, depends: str) -> Package:
    """From dpkg-query's fields. Versions and architectures do not matter: one version is installed."""
    return Package(
        name,
        tuple(_names(provides, ",")),
        tuple(tuple(_names(group, "|")) for group in depends.split(",") if group.strip()),
    )


def _names(text: str, separator: str) -> list[str]:
    return [
        re.split(r"[\s(:\[]", part.strip(), maxsplit=1)[0] for part in text.split(separator) if part.strip()
    ]


def packages(
    before: Mapping[str, str | None], installed: Mapping[str, Package], versions: Mapping[str, str]
) -> Plan:
    """Which packages are purged: those that were not there before and that nothing else needs."""
    plan = Plan()
    for name, old in before.items():
        if old is not None and name in installed and versions.get(name) != old:
            plan.stays[f"package {name}"] = f"was there before as {old}, is now {versions.get(name)}"
    ours = {name for name, old in before.items() if old is None and name in installed}
    while needed := _needed(ours, installed):
        for name, by in needed.items():
            plan.stays[f"package {name}"] = f"{by} needs it"
            ours.discard(name)
    plan.steps = [("purge", name) for name in sorted(ours)]
    return plan


def _needed(ours: Collection[str], installed: Mapping[str, Package]) -> dict[str, str]:
    """Of ours, what a package that stays needs, and which one."""
    staying = [package for name, package in installed.items() if name not in ours]
    there = {name for package in staying for name in (package.name, *package.provides)}
    found = {}
    for package in staying:
        for alternatives in package.depends:
            if there.isdisjoint(alternatives):
                for name in ours:
                    if name in alternatives or set(installed[name].provides) & set(alternatives):
                        found[name] = package.name
    return found


def links(ledger: Mapping[str, Any], present: Mapping[str, str]) -> Plan:
    """``present``: link to its kind (veth, bridge, ...). Pods' cables are veths that have come since."""
    gone = [
        name for name in present if name not in ledger["links"] and (name in LINKS or present[name] == "veth")
    ]
    return Plan([("delete link", name) for name in sorted(gone, key=lambda name: (name in LINKS, name))])


def tables(ledger: Mapping[str, Any], ruleset: Iterable[Mapping[str, Any]]) -> Plan:
    """``ruleset``: entries of ``nft --json list ruleset``. Whole tables of ours; of shared ones, CNI's chains."""
    rules: dict[str, list[Mapping[str, Any]]] = {}
    chains: dict[str, list[str]] = {}
    found: list[str] = []
    for entry in ruleset:
        if table := entry.get("table"):
            found.append(f"{table['family']} {table['name']}")
        if chain := entry.get("chain"):
            chains.setdefault(f"{chain['family']} {chain['table']}", []).append(chain["name"])
        if rule := entry.get("rule"):
            rules.setdefault(f"{rule['family']} {rule['table']}", []).append(rule)
    plan = Plan()
    for table_name in found:
        name = table_name.split(" ", 1)[1]
        if name in TABLES and table_name not in ledger["tables"]:
            plan.steps.append(("delete table", table_name))
        elif name in IPTABLES:
            mine = [rule for rule in rules.get(table_name, []) if _of_cni(rule)]
            of_cni = [chain for chain in chains.get(table_name, []) if chain.startswith("CNI-")]
            if table_name not in ledger["tables"] and len(mine) == len(rules.get(table_name, [])):
                plan.steps.append(("delete table", table_name))
                continue
            outside = [rule for rule in mine if not rule["chain"].startswith("CNI-")]
            plan.steps += [
                ("delete rule", f"{table_name} {r['chain']} handle {r['handle']}") for r in outside
            ]
            plan.steps += [("flush chain", f"{table_name} {chain}") for chain in of_cni]
            plan.steps += [("delete chain", f"{table_name} {chain}") for chain in of_cni]
    return plan


def _of_cni(rule: Mapping[str, Any]) -> bool:
    jumps = [e["jump"]["target"] for e in rule.get("expr", ()) if isinstance(e, dict) and "jump" in e]
    return str(rule["chain"]).startswith("CNI-") or any(target.startswith("CNI-") for target in jumps)


def mounts(ledger: Mapping[str, Any], present: Iterable[str]) -> Plan:
    """Mounts in kdist's trees that have come since, the last one first."""
    trees = list(ledger["trees"])
    # A mount point may have been mounted over: as many as at the beginning stay.
    before = list(ledger["mounts"])
    steps = []
    for point in present:
        if point in before:
            before.remove(point)
        elif any(point == tree or point.startswith(tree + "/") for tree in trees):
            steps.append(("unmount", point))
    return Plan(steps[::-1])


def trees(ledger: Mapping[str, Any], present: Mapping[str, Iterable[str]], keep: Collection[str]) -> Plan:
    """What goes from kdist's trees. ``present``: tree to the paths below it; ``keep``: absolute paths that stay.

    A directory follows what is in it. A tree that was there at the beginning stays, with what was in it then.
    """
    plan = Plan()
    kept = {str(above) for path in keep for above in (PurePosixPath(path), *PurePosixPath(path).parents)}
    for tree, paths in present.items():
        before = ledger["trees"].get(tree)
        if before == ["*"]:
            plan.stays[tree] = "had too much in it before kdist to tell what is whose"
            continue
        there = set(before or ())
        wanted = [tree] if before is None else []
        wanted += [f"{tree}/{path}" for path in paths if path not in there]
        files = ledger["files"]
        for path in sorted(wanted, key=lambda path: (-path.count("/"), path)):
            inside = next((k for k in keep if path == k or path.startswith(k + "/")), None)
            if inside:
                plan.stays[inside] = "data is kept"
            elif path not in kept and files.get(path) is None:
                plan.steps.append(("remove", path))
    return plan


def files(ledger: Mapping[str, Any], keep: Collection[str]) -> Plan:
    """Single files outside the trees go or get back what they were; then the directories that were made for them."""
    plan = Plan()
    for path, before in sorted(ledger["files"].items()):
        if not any(path == k or path.startswith(k + "/") for k in keep):
            plan.steps.append(("remove" if before is None else "restore", path))
    plan.steps += [
        ("remove directory", path) for path in sorted(ledger["directories"], key=len, reverse=True)
    ]
    return plan


def sysctls(ledger: Mapping[str, Any], present: Mapping[str, str]) -> Plan:
    """Those that are not what they were. What cannot be read any more went with its module."""
    return Plan(
        [
            ("set", f"{name}={value}")
            for name, value in sorted(ledger["sysctls"].items())
            if name in present and present[name] != value
        ]
    )


def virtual_address(manifest: str) -> str | None:
    """The address in the manifest of ``kdist vip``."""
    found = re.search(r"--address=([0-9a-fA-F.:]+)", manifest)
    return found[1] if found else None
