"""Taking a snapshot on a control plane: read, verify, name, forget old ones, tell how it went.

Everything is made in a directory whose name begins with a dot and gets its name in one step when it was verified and
is on the disk, so a full disk, a crash or a kill leaves no snapshot that is none. The outcome is left in two files
beside the snapshots: ``last.json`` for commands, ``metrics.prom`` for the textfile collector of a node exporter.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kdist import __version__
from kdist.lifecycle.etcd import retention, snapshots
from kdist.lifecycle.etcd.etcdctl import LOCAL, Etcdctl, EtcdctlError, snapshot_status
from kdist.lifecycle.etcd.members import Endpoint
from kdist.lifecycle.etcd.snapshots import DATABASE, ENCRYPTION, MANIFEST, PKI, Manifest, SnapshotError
from kdist.pki.files import write

SETTINGS = Path("/etc/kubernetes/etcd-snapshots.yaml")
KUBERNETES_PKI = Path("/etc/kubernetes/pki")
LAST, METRICS, LOCK = "last.json", "metrics.prom", ".lock"
PARTIAL = ".partial-"
# Secrets that all control planes share, so a new cluster can go on with the tokens and certificates of the old one.
SHARED_PKI = ("ca", "front-proxy-ca", "etcd/ca")
SERVICE_ACCOUNT = ("sa.key", "sa.pub")
# Bytes that a snapshot must leave: etcd stops when its own disk is full.
RESERVE = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a host takes snapshots; the control_plane role writes it."""

    directory: Path = Path("/var/lib/kdist/etcd-snapshots")
    keep: int = 12
    max_age_days: int = 30
    """0 is without limit."""
    pki: bool = False
    """Whether the secrets that control planes share are kept with each snapshot."""
    cluster: str = "kdist"
    api_level: str = ""
    host: str = ""
    pki_directory: Path = KUBERNETES_PKI
    endpoint: str = LOCAL

    @classmethod
    def load(cls, path: Path = SETTINGS) -> Settings:
        """From the file. SnapshotError."""
        try:
            found = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise SnapshotError(f"{path}: {error}; it is written by site.yml on control planes") from error
        if not isinstance(found, dict):
            raise SnapshotError(f"{path} is no mapping; run site.yml, which writes it")
        # A newer release may have written keys that this one does not know.
        data: dict[str, Any] = {key: found[key] for key in cls.__dataclass_fields__ if key in found}
        for key in ("directory", "pki_directory"):
            if key in data:
                data[key] = Path(data[key])
        return cls(**data)


def take(settings: Settings, etcd: Etcdctl, reason: str, now: datetime | None = None) -> Manifest:
    """Take one snapshot, remove what retention says, leave the outcome. SnapshotError, and then nothing was left."""
    began = now or datetime.now(UTC)
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
        with _alone(settings.directory):
            manifest = _take(settings, etcd, reason, began)
            found, _ = snapshots.listed(settings.directory)
            for old in retention.surplus(
                found, began, keep=settings.keep, max_age_days=settings.max_age_days
            ):
                _remove(settings.directory / old.name)
            _tell(settings, {"time": manifest.time, "succeeded": True, "error": "", "name": manifest.name})
    except (OSError, EtcdctlError, SnapshotError) as error:
        _tell_failure(settings, began, str(error))
        raise SnapshotError(str(error)) from error
    return manifest


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotError(f"another snapshot is being taken into {directory}: wait for it") from None
        yield


def _take(settings: Settings, etcd: Etcdctl, reason: str, now: datetime) -> Manifest:
    for leftover in settings.directory.glob(f"{PARTIAL}*"):
        shutil.rmtree(leftover)
    before = etcd.status(settings.endpoint)
    _room(settings.directory, before.size)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=settings.directory))
    try:
        manifest = _fill(partial, settings, etcd, reason, now, before)
        final = settings.directory / manifest.name
        if final.exists():  # two within a second, with no write between them
            _remove(final)
        partial.rename(final)
        _sync(settings.directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size + RESERVE:
        raise SnapshotError(
            f"{directory} has {free >> 20} MiB free; the database of {size >> 20} MiB needs "
            f"{(size + RESERVE) >> 20} MiB, of which {RESERVE >> 20} stay free. Make room, "
            "lower kdist_etcd_snapshot_keep, or move kdist_etcd_snapshot_directory"
        )


def _fill(
    partial: Path, settings: Settings, etcd: Etcdctl, reason: str, now: datetime, before: Endpoint
) -> Manifest:
    database = partial / DATABASE
    etcd.at(settings.endpoint).save_snapshot(database)
    if fault := snapshots.checksum_fault(database):
        raise SnapshotError(f"etcd sent a snapshot that cannot be used: {fault}")
    status = snapshot_status(database)
    if status["revision"] < before.revision or not status["totalKey"]:
        raise SnapshotError(
            f"the snapshot has revision {status['revision']} and {status['totalKey']} keys, but the member had "
            f"revision {before.revision} before"
        )
    _keep_secrets(partial, settings)
    manifest = Manifest(
        cluster=settings.cluster,
        host=settings.host,
        reason=reason,
        time=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        revision=status["revision"],
        keys=status["totalKey"],
        size=database.stat().st_size,
        etcd=before.version,
        kdist=__version__,
        api_level=settings.api_level,
        files={name: snapshots.digest(partial / name) for name in snapshots.files(partial)},
    )
    write(partial / MANIFEST, (json.dumps(manifest.to_json(), indent=2) + "\n").encode(), 0o600)
    for path in [*partial.rglob("*"), partial]:
        _sync(path)
    return manifest


def _keep_secrets(partial: Path, settings: Settings) -> None:
    source = settings.pki_directory
    wanted = {ENCRYPTION: source / ENCRYPTION}
    if settings.pki:
        pairs = [f"{name}{suffix}" for name in SHARED_PKI for suffix in (".crt", ".key")]
        wanted |= {f"{PKI}/{name}": source / name for name in (*pairs, *SERVICE_ACCOUNT)}
    for name, path in wanted.items():
        # Without encryption at rest there is no such file; an authority's key may be kept elsewhere by the operator.
        if path.exists():
            write(partial / name, path.read_bytes(), 0o600)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(snapshot: Path) -> None:
    """Out of sight in one step, then gone: what is half removed must not look like a snapshot."""
    hidden = snapshot.with_name(f"{PARTIAL}old-{snapshot.name}")
    snapshot.rename(hidden)
    shutil.rmtree(hidden)


def last(directory: Path) -> dict[str, Any] | None:
    """How the newest attempt went: ``time``, ``succeeded``, ``error``, ``name``; None before the first one."""
    try:
        told: dict[str, Any] = json.loads((directory / LAST).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"time": "", "succeeded": False, "name": "", "error": f"{directory / LAST}: {error}"}
    return told


def _tell_failure(settings: Settings, began: datetime, reason: str) -> None:
    told = {"time": began.strftime("%Y-%m-%dT%H:%M:%SZ"), "succeeded": False, "error": reason, "name": ""}
    try:
        _tell(settings, told)
    except OSError as error:  # a full disk takes no message either; the caller fails all the same
        raise SnapshotError(
            f"{reason} (and {settings.directory / LAST} could not be written: {error})"
        ) from error


def _tell(settings: Settings, outcome: dict[str, Any]) -> None:
    found, _ = snapshots.listed(settings.directory)
    write(settings.directory / LAST, (json.dumps(outcome) + "\n").encode(), 0o644)
    write(settings.directory / METRICS, metrics(outcome, found).encode(), 0o644)


def metrics(outcome: dict[str, Any], found: list[Manifest]) -> str:
    """The outcome in the text format of Prometheus."""
    newest = found[-1] if found else None
    values: dict[str, tuple[str, int]] = {
        "last_attempt_succeeded": ("1 when the newest attempt succeeded.", int(outcome["succeeded"])),
        "last_success_timestamp_seconds": (
            "When the newest snapshot was taken.",
            int(newest.taken.timestamp()) if newest else 0,
        ),
        "last_success_revision": ("Revision of the newest snapshot.", newest.revision if newest else 0),
        "size_bytes": ("Size of the newest snapshot's database.", newest.size if newest else 0),
        "kept": ("Snapshots that are kept on this host.", len(found)),
    }
    lines = []
    for name, (text, value) in values.items():
        full = f"kdist_etcd_snapshot_{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} gauge", f"{full} {value}"]
    return "\n".join(lines) + "\n"
