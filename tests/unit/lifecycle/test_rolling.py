"""Static pods change on one control plane after the other: who must serve before, and what must run after."""

import os
import time
from pathlib import Path

import pytest
import yaml

from kdist.lifecycle import rolling

PEERS = {"cp2": "10.0.0.2", "cp3": "fd00::3"}
BOOT = 1_700_000_000


class Host:
    """Processes and manifests below a directory."""

    def __init__(self, root: Path) -> None:
        self.root, self._next = root, 100
        (root / "proc").mkdir()
        (root / "proc/stat").write_text(f"cpu 0\nbtime {BOOT}\n")
        self.ill: dict[str, str] = {}

    def manifest(self, name: str, *command: str, changed: float = 10) -> Path:
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"spec": {"containers": [{"name": name, "command": list(command)}]}}))
        os.utime(path, (BOOT + changed, BOOT + changed))
        return path

    def process(self, *command: str, started: float) -> None:
        self._next += 1
        directory = self.root / "proc" / str(self._next)
        directory.mkdir()
        (directory / "comm").write_text("any\n")
        (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command))
        ticks = int(started * os.sysconf("SC_CLK_TCK"))
        (directory / "stat").write_text(f"{self._next} (any) S {' '.join(['0'] * 18)} {ticks}")

    def behind(self, *changed: Path) -> list[str]:
        return rolling.behind(changed, "10.0.0.1", 6443, root=self.root, ask=self.ill.get)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_peers_that_serve_are_not_told_of() -> None:
    assert rolling.silent(PEERS, 6443, ask=lambda _: None, etcd=lambda _: None) == []


def test_each_peer_that_does_not_serve_is_named_with_its_part_and_reason() -> None:
    told = rolling.silent(
        PEERS,
        6443,
        ask=lambda url: "refused" if "fd00" in url else None,
        etcd=lambda url: None if "fd00" in url else f"{url} timed out",
    )
    assert told == ["etcd of cp2: https://10.0.0.2:2379 timed out", "API server of cp3: refused"]


def test_a_static_pod_that_was_started_after_its_manifest_changed_is_up_to_date(host: Host) -> None:
    etcd = host.manifest("etcd", "etcd", "--name=cp1")
    server = host.manifest("kube-apiserver", "kdist", "apiserver", "--v=2")
    host.process("etcd", "--name=cp1", started=11)
    host.process("/usr/bin/python3", "-IS", "/opt/kdist/bin/kdist", "apiserver", "--v=2", started=12)
    assert host.behind(etcd, server) == []


def test_an_older_process_or_one_with_other_flags_is_not(host: Host) -> None:
    etcd = host.manifest("etcd", "etcd", "--name=cp1")
    server = host.manifest("kube-apiserver", "kdist", "apiserver", "--v=4")
    host.process("etcd", "--name=cp1", started=2)
    host.process("/usr/bin/python3", "/opt/kdist/bin/kdist", "apiserver", "--v=2", started=12)
    assert host.behind(etcd, server) == [
        f"etcd was started before {etcd} changed",
        f"kube-apiserver does not run as {server} says",
    ]


def test_another_program_with_the_same_flags_does_not_count(host: Host) -> None:
    etcd = host.manifest("etcd", "etcd", "--name=cp1")
    host.process("tail", "--name=cp1", started=11)
    assert host.behind(etcd) == [f"etcd does not run as {etcd} says"]


def test_what_runs_must_be_well(host: Host) -> None:
    scheduler = host.manifest("kube-scheduler", "kdist", "scheduler")
    host.process("kdist", "scheduler", started=11)
    host.ill["https://10.0.0.1:6443/readyz"] = "etcd failed"
    assert host.behind(scheduler) == ["etcd failed"]
    assert rolling.ill("10.0.0.1", 6443, host.ill.get) == ["etcd failed"]


def test_processes_that_run_now_are_known_by_name_command_and_start() -> None:
    own = [p for p in rolling.processes() if "pytest" in " ".join(p.command)]
    assert own
    assert all(p.started < time.time() + 2 for p in own)
