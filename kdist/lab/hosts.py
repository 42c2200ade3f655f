"""Switch the hosts of a lab on and off, orderly or not, and remove them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from kdist.lab import cgroups, network, ssh
from kdist.lab.boot import PLAIN_DIRS, plan_boot
from kdist.lab.plan import Host, Lab, etc_hosts
from kdist.lab.process import LabError, run
from kdist.lab.supervisor import PID_FILE, PLAN_FILE

SHUTDOWN_SECONDS = 60.0
BOOT_SECONDS = 60.0
NSPAWN_RUN = Path("/run/systemd/nspawn")


def _open_lock(lab: Lab, host: Host) -> TextIO | None:
    """The host's lock when it was free, else None: a supervisor has it."""
    file = (lab.host_path(host) / PID_FILE).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_on(lab: Lab, host: Host) -> bool:
    """Whether a supervisor runs the host."""
    if not (lab.host_path(host) / PID_FILE).exists():
        return False
    lock = _open_lock(lab, host)
    if lock is None:
        return True
    lock.close()
    return False


def prepare(lab: Lab, host: Host) -> None:
    """Make the host's disk: what differs from the base. A disk that exists is kept."""
    path = lab.host_path(host)
    for name in ("work", "root", *PLAIN_DIRS):
        (path / name).mkdir(parents=True, exist_ok=True)
    disk = path / "upper"
    # These stand for the base's own directories, mode and all.
    for name, mode in (
        ("", 0o755),
        ("etc", 0o755),
        ("etc/ssh", 0o755),
        ("root", 0o700),
        ("root/.ssh", 0o700),
    ):
        (disk / name).mkdir(exist_ok=True)
        (disk / name).chmod(mode)
    (disk / "etc/hostname").write_text(f"{host.name}\n")
    (disk / "etc/hosts").write_text(etc_hosts(lab))
    shutil.copy(ssh.key_path(Path(lab.dir)).with_suffix(".pub"), disk / "root/.ssh/authorized_keys")
    host_key = disk / "etc/ssh/ssh_host_ed25519_key"
    if not host_key.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(host_key))


def start(lab: Lab, host: Host, report: Callable[[str], None]) -> None:
    """Switch the host on, without waiting for it; nothing when it is on. Leftovers of a killed run are removed."""
    path = lab.host_path(host)
    lock = _open_lock(lab, host)
    if lock is None:
        return
    with lock:
        cgroups.kill(lab, host)
        network.remove_host(lab, host)
        plan = plan_boot(lab, host, cgroups.create(lab, host))
        (path / PLAN_FILE).write_text(json.dumps(plan.to_json(), indent=1))
        with (path / "console.log").open("a") as console:
            subprocess.run(
                [sys.executable, "-m", "kdist.lab.supervisor", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[lock.fileno()],  # the lock lives on in the supervisor
                cwd="/",
                check=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
    report(f"{host.name} {host.address} switched on")


def wait_for_ssh(lab: Lab, hosts: list[Host]) -> None:
    """Return when every one of these hosts takes ssh connections."""
    network.wait_for_ssh(lab, hosts, lambda host: is_on(lab, host), BOOT_SECONDS)


def crash(lab: Lab, host: Host) -> None:
    """Power loss: the cable goes silent first (no connection is closed), then everything stops at once."""
    _require_on(lab, host)
    network.set_cable(lab, host, plugged=False)
    _stop_now(lab, host)


def power_off(lab: Lab, host: Host) -> None:
    """Orderly shutdown, as the power button does. LabError when it takes more than a minute."""
    _require_on(lab, host)
    os.kill(_supervisor_pid(lab, host), signal.SIGTERM)
    _wait_until_off(lab, host, SHUTDOWN_SECONDS)


def set_cable(lab: Lab, host: Host, *, plugged: bool) -> None:
    """Plug in or pull the host's network cable."""
    _require_on(lab, host)
    network.set_cable(lab, host, plugged=plugged)


def remove(lab: Lab, host: Host) -> None:
    """Stop the host at once, whatever state it is in, and remove everything it had on this machine."""
    path = lab.host_path(host)
    _stop_now(lab, host)
    cgroups.kill(lab, host)
    network.remove_host(lab, host)
    cgroups.remove(lab, host)
    for residue in ("propagate", "unix-export"):
        shutil.rmtree(NSPAWN_RUN / residue / lab.host_netns(host), ignore_errors=True)
    _unmount_below(path)
    if path.exists():
        shutil.rmtree(path)


def _require_on(lab: Lab, host: Host) -> None:
    if not is_on(lab, host):
        raise LabError(f"host {host.name} is off: kdist lab start {host.name}")


def _supervisor_pid(lab: Lab, host: Host) -> int:
    return int((lab.host_path(host) / PID_FILE).read_text())


def _stop_now(lab: Lab, host: Host) -> None:
    """Kill the host's first process until its supervisor has left; again, because it may just be booting."""
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    _kill_init(lab, host)
    while is_on(lab, host):
        if time.monotonic() > deadline:
            raise LabError(f"host {host.name}: supervisor {_supervisor_pid(lab, host)} does not end")
        time.sleep(0.02)
        _kill_init(lab, host)


def _kill_init(lab: Lab, host: Host) -> None:
    """Kill the host's first process, the child of its nspawn: all others die with it, and nspawn cleans up.
    Found as the member of the host's cgroup whose parent is the one member with a parent outside.
    """
    members = cgroups.processes(lab, host)
    for pid in members:
        parent = _parent_of(pid)
        if parent is not None and parent in members and _parent_of(parent) not in members:
            with contextlib.suppress(ProcessLookupError):  # it was ending by itself
                os.kill(pid, signal.SIGKILL)


def _parent_of(pid: int) -> int | None:
    """The parent's process id; None when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it ended before or while it was read
        return None


def _wait_until_off(lab: Lab, host: Host, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_on(lab, host):
        if time.monotonic() > deadline:
            raise LabError(f"host {host.name} is still on after {seconds:.0f} s: kdist lab crash {host.name}")
        time.sleep(0.02)


def _unmount_below(path: Path) -> None:
    """Unmount what someone mounted inside the host's directory, so that removing it removes only files."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(path)), reverse=True):
        run("umount", "--lazy", mount)
