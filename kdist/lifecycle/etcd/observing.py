"""What one control plane sees of etcd: its member, the others as it reaches them, its disk, its snapshots.

An observation is plain JSON, because it travels from the host to the operator's machine; the two may run different
releases during an upgrade, so a reader takes what is missing as unknown.
"""

from __future__ import annotations

import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import snapshots, taking, wal
from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError
from kdist.lifecycle.etcd.members import Member
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.taking import Settings
from kdist.lifecycle.etcd.wal import WalError

DATA = Path("/var/lib/etcd")
ETCD_MANIFEST = Path("/etc/kubernetes/manifests/etcd.yaml")
DEFAULT_QUOTA = 2 << 30


def quota(manifest: Path = ETCD_MANIFEST) -> int:
    """The quota in bytes that this host's etcd runs with."""
    try:
        found = re.search(r"--quota-backend-bytes=(\d+)", manifest.read_text())
    except FileNotFoundError:
        return DEFAULT_QUOTA
    return int(found[1]) if found and int(found[1]) else DEFAULT_QUOTA


def observe(
    settings: Settings, etcd: Etcdctl, *, data: Path = DATA, manifest: Path = ETCD_MANIFEST
) -> dict[str, Any]:
    """What this host knows: its member, the others as it reaches them, its disk, its snapshots."""
    seen: dict[str, Any] = {
        "host": settings.host or socket.gethostname(),
        "has_data": (data / "member").exists(),
        "quota": quota(manifest),
        "disk_free": shutil.disk_usage(data).free if data.exists() else None,
        "members": [],
        "endpoints": {},
        "alarms": [],
        "quorum": False,
        "error": "",
    }
    try:
        members = etcd.at(settings.endpoint).members()
        seen["members"] = [asdict(member) for member in members]
        seen["endpoints"] = _endpoints(etcd, members)
        etcd.at(settings.endpoint).read_consistently()
        seen["quorum"] = True
        seen["alarms"] = etcd.at(settings.endpoint).alarms()
    except EtcdctlError as error:
        seen["error"] = str(error)
        seen["log"] = _log(data / "member")
    return seen | {"snapshots": _snapshots(settings)}


def _log(member: Path) -> dict[str, Any]:
    """The end of this member's log, for a recovery."""
    try:
        found = wal.read(member)
    except (WalError, OSError) as error:
        return {"error": str(error)}
    return {"last": found.last, "last_term": found.last_term, "commit": found.commit}


def _endpoints(etcd: Etcdctl, members: list[Member]) -> dict[str, Any]:
    def ask(member: Member) -> tuple[str, dict[str, Any] | None]:
        try:
            return str(member.id), asdict(etcd.status(member.client_urls[0]))
        except EtcdctlError:
            return str(member.id), None

    started = [member for member in members if member.client_urls]
    with ThreadPoolExecutor(len(started) or 1) as pool:
        return dict(pool.map(ask, started))


def _snapshots(settings: Settings) -> dict[str, Any]:
    found, faults = snapshots.listed(settings.directory)
    return {
        "directory": str(settings.directory),
        "last": taking.last(settings.directory),
        "list": [manifest.to_json() for manifest in found],
        "faults": faults,
    }


def settings_or_default(path: Path = taking.SETTINGS) -> Settings:
    """The host's settings; the defaults where site.yml of this release has not run yet."""
    try:
        return Settings.load(path)
    except SnapshotError:
        return Settings(host=socket.gethostname())
