"""Running ``etcdctl`` (Debian's etcd-client) on a control-plane host with the credentials that lie there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd.members import Endpoint, Member

PKI = Path("/etc/kubernetes/pki/etcd")
LOCAL = "https://127.0.0.1:2379"
TIMEOUT = 10  # seconds a command may take
ALIVE_TIMEOUT = 4  # what a member answers by itself, or not at all
# Seconds for what reads or writes a whole database of the largest size that etcd recommends, 8 GiB, on a slow disk.
LONG_TIMEOUT = 900
# etcd changes its members only when they have been connected for 5 s: not right after one of them was started or got
# its vote. The rest is for a busy machine.
SETTLE_SECONDS = 30
UNSETTLED = "unhealthy cluster"
PAGE = 500  # keys of one request when all of them are read with their values


class EtcdctlError(Exception):
    """The tool failed; the text is what it said."""


class Etcdctl:
    """etcd by its members' client URLs."""

    def __init__(self, endpoints: Sequence[str], pki: Path | None = PKI) -> None:
        """``pki``: directory of the client certificate; None for an etcd without TLS."""
        self.pki = pki
        self._arguments = [f"--endpoints={','.join(endpoints)}"]
        if pki is not None:
            self._arguments += [
                f"--cacert={pki / 'ca.crt'}",
                f"--cert={pki / 'healthcheck-client.crt'}",
                f"--key={pki / 'healthcheck-client.key'}",
            ]

    def at(self, endpoint: str) -> Etcdctl:
        """The same credentials, one member."""
        return Etcdctl([endpoint], self.pki)

    def run(self, *command: str, timeout: float = TIMEOUT) -> Any:
        """The JSON answer of a command. Raises EtcdctlError."""
        out = _call([*self._arguments, f"--command-timeout={int(timeout)}s", *command], command, timeout)
        return json.loads(out) if out.startswith(("{", "[")) else None

    def members(self) -> list[Member]:
        """Every member. Raises EtcdctlError, without a quorum too (:func:`members_in`)."""
        return [Member.from_json(m) for m in self.run("member", "list")["members"]]

    def add_learner(self, name: str, peer_url: str) -> None:
        """Let a host in that has no vote yet. Raises EtcdctlError, for a second learner at a time too."""
        settled(lambda: self.run("member", "add", name, f"--peer-urls={peer_url}", "--learner"))

    def promote(self, member: Member) -> None:
        """Give a learner its vote. Raises EtcdctlError while it has not caught up."""
        self.run("member", "promote", f"{member.id:x}")

    def remove(self, member: Member) -> None:
        """End a membership."""
        settled(lambda: self.run("member", "remove", f"{member.id:x}"))

    def status(self, endpoint: str) -> Endpoint:
        """What one member tells about itself, with or without a quorum. Raises EtcdctlError."""
        return Endpoint.from_json(self.at(endpoint).run("endpoint", "status", timeout=ALIVE_TIMEOUT)[0])

    def try_status(self, endpoint: str) -> Endpoint | None:
        """The same; None for a member that does not answer."""
        try:
            return self.status(endpoint)
        except EtcdctlError:
            return None

    def alarms(self) -> list[tuple[int, str]]:
        """Member id and alarm (``NOSPACE``, ``CORRUPT``) of every alarm that is raised. Needs a quorum."""
        found = self.run("alarm", "list").get("alarms", [])
        return [
            (int(a.get("memberID", 0)), ALARMS.get(a.get("alarm", 0), str(a.get("alarm")))) for a in found
        ]

    def disarm(self) -> None:
        """Clear every alarm; etcd raises it again when its cause is still there."""
        self.run("alarm", "disarm")

    def read_consistently(self) -> None:
        """A read that needs a quorum. Raises EtcdctlError when there is none."""
        self.run("get", "health", timeout=5)

    def revision(self) -> int:
        """The newest revision, by a consistent read."""
        return int(self.run("get", "health", timeout=5)["header"]["revision"])

    def compact(self, revision: int) -> None:
        """Forget what is older than a revision, and wait until it is done. A revision forgotten already is no error."""
        try:
            self.run("compact", str(revision), "--physical", timeout=LONG_TIMEOUT)
        except EtcdctlError as error:
            if "has been compacted" not in str(error):
                raise

    def defragment(self, endpoint: str) -> None:
        """Give a member's free pages back to its disk; it answers nobody meanwhile."""
        self.at(endpoint).run("defrag", timeout=LONG_TIMEOUT)

    def move_leader(self, leader_endpoint: str, to: Member) -> None:
        """Let another member lead; asked of the leader."""
        self.at(leader_endpoint).run("move-leader", f"{to.id:x}")

    def save_snapshot(self, target: Path) -> None:
        """Write a member's database and its checksum to a file that is not there yet."""
        self.run("snapshot", "save", str(target), timeout=LONG_TIMEOUT)

    def sizes(self, start: str = "/", end: str = "0") -> Iterator[tuple[str, int]]:
        """Every key from ``start`` to before ``end`` and the bytes of its value, a page at a time."""
        while True:
            found = self.run("get", start, end, f"--limit={PAGE}", timeout=LONG_TIMEOUT)
            page = found.get("kvs", [])
            for kv in page:
                yield _text(kv["key"]), len(kv.get("value", "")) * 3 // 4  # base64
            if not found.get("more"):
                return
            start = _text(page[-1]["key"]) + "\x01"  # no argument can hold the zero byte that would be exact

    def key_names(self, prefix: str) -> list[str]:
        """Every key below a prefix."""
        found = self.run("get", prefix, "--prefix", "--keys-only", timeout=LONG_TIMEOUT) or {}
        return [_text(kv["key"]) for kv in found.get("kvs", [])]


def settled(
    change: Callable[[], object],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Change the members as soon as etcd takes them for connected. Raises EtcdctlError."""
    deadline = clock() + SETTLE_SECONDS
    while True:
        try:
            change()
            return
        except EtcdctlError as error:
            if UNSETTLED not in str(error) or clock() > deadline:
                raise
        sleep(0.5)


# The numbers of the wire format.
ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


def _text(key: str) -> str:
    return base64.b64decode(key).decode(errors="replace")


def snapshot_status(file: Path) -> dict[str, int]:
    """``hash``, ``revision``, ``totalKey`` and ``totalSize`` of a snapshot file; touches no server.

    It trusts the file: one that was cut short crashes the tool, so the checksum comes first. Raises EtcdctlError.
    """
    command = ("snapshot", "status", str(file))
    found: dict[str, int] = json.loads(_call(command, command, LONG_TIMEOUT))
    return found


def restore_snapshot(
    file: Path, *, name: str, url: str, token: str, data: Path, checksum: bool = True
) -> None:
    """Make the data directory of the only member of a new cluster from a snapshot. Raises EtcdctlError."""
    command = ["snapshot", "restore", str(file), f"--name={name}", f"--data-dir={data}"]
    command += [f"--initial-cluster={name}={url}", f"--initial-advertise-peer-urls={url}"]
    command += [f"--initial-cluster-token={token}"]
    _call(command if checksum else [*command, "--skip-hash-check"], command[:3], LONG_TIMEOUT)


def _call(arguments: Sequence[str], command: Sequence[str], timeout: float) -> str:
    """Standard output of the tool."""
    environment = {**os.environ, "ETCDCTL_API": "3"}
    line = ["etcdctl", "--write-out=json", *arguments]
    told = f"etcdctl {' '.join(command)}"
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=timeout + 5, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EtcdctlError(f"{told}: {error}") from error
    if done.returncode != 0:
        raise EtcdctlError(f"{told}: {_message(done.stderr)}")
    return done.stdout.strip()


def _message(stderr: str) -> str:
    """The error of etcdctl: plain text after its log lines, or a log line in JSON."""
    lines = [line for line in stderr.strip().splitlines() if line]
    plain = [line for line in lines if not line.startswith("{")]
    if plain:
        # A crash ends in a page of stack; what it was stands above.
        crash = next((line for line in plain if line.startswith(("fatal error:", "panic:"))), plain[-1])
        return crash.removeprefix("Error: ")
    try:
        told = json.loads(lines[-1]) if lines else {"msg": "no message"}
    except ValueError:
        return lines[-1]
    return str(told.get("error") or told.get("msg") or lines[-1])
