"""What one control plane sees of etcd: its member, the others as it reaches them, its disk, its snapshots.

An observation is plain JSON, because it travels from the host to the operator's machine; the two may run different
releases during an upgrade, so a reader takes what is missing as unknown.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import snapshots, taking, wal
from kdist.lifecycle.etcd.bolt import BoltError, Database
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
    here, members = etcd.at(settings.endpoint), []
    try:
        here.read_consistently()
        members, alarms = here.members(), here.alarms()
        seen |= {"quorum": True, "alarms": alarms}
    except EtcdctlError as error:
        seen |= {"error": str(error), "log": _log(data / "member")}
        with suppress(BoltError, OSError, ValueError):  # the error above is the one that matters
            members = members_in(data / "member/snap/db")
    seen["members"] = [asdict(member) for member in members]
    seen["endpoints"] = _endpoints(etcd, members)
    return seen | {"snapshots": _snapshots(settings)}


def _log(member: Path) -> dict[str, Any]:
    """The end of this member's log, for a recovery."""
    try:
        found = wal.read(member)
    except (WalError, OSError) as error:
        return {"error": str(error)}
    return {"last": found.last, "last_term": found.last_term, "commit": found.commit}


def members_in(database: Path) -> list[Member]:
    """The members as one member's database lists them: without a quorum etcd itself does not say. BoltError."""
    found = [json.loads(value) for _, value in Database(database).entries("members")]
    return [Member.from_json({"ID": m["id"], "peerURLs": m["peerURLs"], **m}) for m in found]


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
