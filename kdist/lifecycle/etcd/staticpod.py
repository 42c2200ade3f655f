"""Stopping and starting etcd on a control plane: its static pod's manifest goes aside and comes back.

The agent needs nothing but files for this, so it works when there is no quorum and no API. A manifest that is aside is
found there by the next attempt when this one is killed.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kdist.lifecycle.etcd import retention
from kdist.lifecycle.etcd.etcdctl import PKI, Etcdctl, EtcdctlError

ETCD = "etcd.yaml"
# An API server remembers the last minutes of the history that it read: it ends and starts with its etcd.
WITH_HISTORY = ("kube-apiserver.yaml", ETCD)
# What must not run while etcd's history is exchanged: it would go on with what it remembers.
CONTROL_PLANE = (
    "kube-apiserver.yaml",
    "kube-controller-manager.yaml",
    "kube-scheduler.yaml",
    "kdist-vip.yaml",
    ETCD,
)
# Beside a member's data: data whose membership ended, and copies from before a recovery.
ENDED, BEFORE_RECOVERY = "member.ended-", "member.before-recovery-"
_STAMP = "%Y%m%dT%H%M%SZ"
STOP_SECONDS = 90
QUIET_SECONDS = 2
# Loopback ports of an etcd that runs for a moment, apart from every client.
ALONE_CLIENT, ALONE_PEER = 23790, 23800
_CONTAINER = "kdist-etcd-alone"


class StaticPodError(Exception):
    """etcd could not be stopped or started; the text says what to look at."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on a control plane."""

    manifests: Path = Path("/etc/kubernetes/manifests")
    aside: Path = Path("/var/lib/kdist/etcd-care")
    data: Path = Path("/var/lib/etcd")
    pki: Path | None = PKI

    @property
    def member(self) -> Path:
        """A member's data."""
        return self.data / "member"

    @property
    def database(self) -> Path:
        """A member's database file."""
        return self.member / "snap/db"


def manifest_of(places: Places) -> str:
    """The text of etcd's manifest, aside or in place. Raises StaticPodError."""
    for directory in (places.manifests, places.aside):
        if (directory / ETCD).exists():
            return (directory / ETCD).read_text()
    raise StaticPodError(f"{places.manifests / ETCD} does not exist: this host carries no etcd")


def flag(manifest: str, name: str) -> str:
    """A flag of etcd in its manifest; empty when it is not set."""
    found = re.search(rf"--{name}=(\S+)", manifest)
    return found[1] if found else ""


def stop(places: Places, parts: Sequence[str] = WITH_HISTORY) -> list[str]:
    """Take static pods away and wait until etcd has ended; what was taken away now. Raises StaticPodError."""
    _clear()
    places.aside.mkdir(parents=True, exist_ok=True, mode=0o700)
    gone = []
    for part in parts:
        if (places.manifests / part).exists():
            (places.manifests / part).replace(places.aside / part)
            gone.append(part)
    deadline = time.monotonic() + STOP_SECONDS
    quiet_since = time.monotonic()
    # The agent may be about to start a container that had ended by itself: it has to stay away for a moment.
    while (now := time.monotonic()) < quiet_since + QUIET_SECONDS:
        if runs(places):
            quiet_since = now
        if now > deadline:
            raise StaticPodError(
                f"etcd still runs {STOP_SECONDS} s after its manifest went to {places.aside}: "
                "see `systemctl status kdist-agent`; the manifest comes back with site.yml"
            )
        time.sleep(0.2)
    return gone


def start(places: Places, parts: Sequence[str] = WITH_HISTORY) -> None:
    """Bring back what was taken away."""
    for part in parts:
        if (places.aside / part).exists():
            (places.aside / part).replace(places.manifests / part)


def runs(places: Places) -> bool:
    """Whether some etcd has this host's data open."""
    try:
        with places.database.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def set_aside(places: Places, now: datetime | None = None) -> str:
    """Rename a member's data, which nobody has open; the new name, empty when there was none."""
    if not places.member.exists():
        return ""
    target = places.data / aside_name(ENDED, now := now or datetime.now(UTC))
    places.member.rename(target)
    forget(places, ENDED, now)
    return str(target)


def aside_name(prefix: str, now: datetime) -> str:
    """Name of data that is put aside or copied beside a member's: it tells when."""
    return f"{prefix}{now:{_STAMP}}"


def forget(places: Places, prefix: str, now: datetime) -> None:
    """Remove older data of the same kind: each of it may be as large as etcd's quota."""
    found = {}
    for path in places.data.glob(f"{prefix}*"):
        with suppress(ValueError):  # an operator's own directory that happens to be named alike stays
            found[path.name] = datetime.strptime(path.name.removeprefix(prefix), _STAMP).replace(tzinfo=UTC)
    for name in retention.forgotten(found, now):
        shutil.rmtree(places.data / name)


def container_command(places: Places, image: str, etcd: Sequence[str]) -> list[str]:
    """The line that runs etcd's image in the foreground, with its data and certificates."""
    mounts = [places.data] if places.pki is None else [places.data, places.pki]
    binds = [f"--mount=type=bind,src={path},dst={path},options=rbind:rw" for path in mounts]
    return ["ctr", "--namespace=k8s.io", "run", "--rm", "--net-host", *binds, image, _CONTAINER, *etcd]


def alone_command(places: Places, manifest: str) -> list[str]:
    """etcd as the only member of what its data says, reachable from this host alone.

    It writes a raft snapshot at once: members that join later then get the database and not a log from its beginning.
    """
    scheme = "http" if places.pki is None else "https"
    listen = f"{scheme}://127.0.0.1:{ALONE_CLIENT}"
    line = ["etcd", f"--name={flag(manifest, 'name')}", f"--data-dir={places.data}", "--force-new-cluster"]
    line += [
        f"--listen-client-urls={listen}",
        f"--advertise-client-urls={flag(manifest, 'advertise-client-urls')}",
    ]
    line += [f"--listen-peer-urls={scheme}://127.0.0.1:{ALONE_PEER}", "--snapshot-count=1"]
    line += [f"--quota-backend-bytes={flag(manifest, 'quota-backend-bytes') or 0}"]
    if places.pki is not None:
        for prefix, name in (("", "server"), ("peer-", "peer")):
            line += [
                f"--{prefix}cert-file={places.pki / name}.crt",
                f"--{prefix}key-file={places.pki / name}.key",
            ]
            line += [f"--{prefix}trusted-ca-file={places.pki / 'ca.crt'}", f"--{prefix}client-cert-auth=true"]
    return line


@contextmanager
def alone(places: Places, command: Sequence[str]) -> Iterator[Etcdctl]:
    """Run etcd for a moment (``command``: see above) and stop it in order. Raises StaticPodError."""
    _clear()
    scheme = "http" if places.pki is None else "https"
    etcd = Etcdctl([f"{scheme}://127.0.0.1:{ALONE_CLIENT}"], places.pki)
    log = places.aside / "alone.log"
    places.aside.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _until_it_answers(etcd, process, log)
        yield etcd
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _clear()


def _until_it_answers(etcd: Etcdctl, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            etcd.read_consistently()
            return
        except EtcdctlError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace").strip().splitlines()[-1:]
                told = end[0][:400] if end else str(error)
                raise StaticPodError(
                    f"etcd did not start alone on its data (all of it: {log}): {told}"
                ) from error
        time.sleep(0.2)


def _clear() -> None:
    """Remove the container that a killed attempt left running; usually there is none."""
    if shutil.which("ctr") is None:
        return
    for line in (
        ("task", "kill", "--signal=SIGKILL", _CONTAINER),
        ("task", "rm", "--force", _CONTAINER),
        ("container", "rm", _CONTAINER),
        ("snapshot", "rm", _CONTAINER),
    ):
        subprocess.run(["ctr", "--namespace=k8s.io", *line], capture_output=True, check=False)
