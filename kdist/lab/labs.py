"""A lab as a whole: bring it up, look at it, take it down, and refuse what cannot work before changing anything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kdist.config.lab import LabSettings
from kdist.lab import base, cgroups, hosts, inventory, kernel, network, ssh
from kdist.lab.plan import STATE_FILE, Host, Lab, check_name, lab_path, plan_lab
from kdist.lab.process import LabError, require, run

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
}

Report = Callable[[str], None]


@dataclass(frozen=True)
class HostStatus:
    """What ``kdist lab status`` shows of a host; ``memory`` in bytes, None where the machine does not count it."""

    host: Host
    state: str
    plugged: bool
    processes: int
    memory: int | None


def check_machine() -> None:
    """LabError unless this is root on a machine with the tools a lab is made of."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root (namespaces, mounts, cgroups): run it with sudo")
    require(TOOLS)


def known(directory: Path) -> list[str]:
    """Names of the labs below the directory."""
    return sorted(path.parent.name for path in (directory / "labs").glob(f"*/{STATE_FILE}"))


def load(directory: Path, name: str) -> Lab:
    """The lab of that name. LabError naming the known ones when there is none."""
    file = lab_path(directory, name) / STATE_FILE
    if not file.exists():
        others = ", ".join(known(directory)) or "none"
        raise LabError(f"no lab named {name} in {directory} (known: {others}): kdist lab up --name {name}")
    return Lab.from_json(json.loads(file.read_text()))


def up(settings: LabSettings, report: Report) -> Lab:
    """Bring the lab up: create what is missing, switch on what is off, write the inventory.

    Running it again finishes a half-finished run and is without effect on a lab that is up. LabError when a
    lab of that name has other hosts, or the address range is taken.
    """
    check_machine()
    lab = plan_lab(settings, lambda suite: base.base_path(settings.dir, suite))
    kernel.make_room(report)
    settings.dir.mkdir(parents=True, exist_ok=True)
    with base.locked(settings.dir / "lock"):
        ssh.ensure_key(settings.dir)
        lab = _reconcile(lab)
        _claim(lab)
    for suite, path in lab.bases.items():
        if not Path(path).exists():
            report(f"building the {suite} base image, once; about a minute")
            base.ensure_base(settings.dir, suite)
    _save(lab)
    lab.disks.mkdir(exist_ok=True)
    if lab.in_memory and not lab.disks.is_mount():
        run("mount", "-t", "tmpfs", "-o", "mode=755,size=75%", f"kdist-{lab.name}", str(lab.disks))
    _each(lab.hosts, lambda host: hosts.prepare(lab, host))
    _each(lab.hosts, lambda host: hosts.start(lab, host, report))
    hosts.wait_for_ssh(lab, list(lab.hosts))
    file = Path(lab.inventory)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(inventory.render(lab))
    return lab


def start(lab: Lab, host: Host, report: Report) -> None:
    """Switch one host on and wait until it takes ssh connections."""
    _claim(lab)
    hosts.start(lab, host, report)
    hosts.wait_for_ssh(lab, [host])


def _reconcile(wanted: Lab) -> Lab:
    """The wanted lab, on the base it was made with when it exists already."""
    if wanted.name not in known(Path(wanted.dir)):
        return wanted
    present = load(Path(wanted.dir), wanted.name)
    if not present.same_as(wanted):
        names = ", ".join(f"{host.name} {host.suite}" for host in present.hosts)
        raise LabError(
            f"lab {present.name} exists with other settings ({present.subnet}, {names}): "
            f"kdist lab down --name {present.name}, or choose another --name"
        )
    return Lab.from_json({**wanted.to_json(), "bases": present.bases})


def _claim(lab: Lab) -> None:
    """Make the lab's network, which carries its directory: cgroups and namespaces are named by the lab's name only.

    LabError when a lab of that name lives in another directory. One whose directory was deleted is stopped.
    """
    owner = network.owner(lab)
    if owner is not None and owner != str(lab.path):
        if owner and Path(owner, STATE_FILE).exists():
            raise LabError(f"the name {lab.name} is taken by the lab in {owner}: choose another --name")
        cgroups.clear(lab)
        network.remove(lab)
    network.create(lab)


def _save(lab: Lab) -> None:
    lab.path.mkdir(parents=True, exist_ok=True)
    (lab.path / STATE_FILE).write_text(json.dumps(lab.to_json(), indent=1) + "\n")


def down(directory: Path, name: str, *, purge: bool = False) -> bool:
    """Remove the lab and everything it had on the machine; False when there was none. The base stays, but for purge.

    It works from names, not from what is running: labs whose supervisors were killed go the same way.
    """
    check_machine()
    check_name(name)
    found = name in known(directory)
    if found:
        lab = load(directory, name)
        _each(lab.hosts, lambda host: hosts.remove(lab, host))
        network.remove(lab)
        cgroups.clear(lab)
        if lab.disks.is_mount():
            run("umount", "--lazy", str(lab.disks))
        _remove_inventory(Path(lab.inventory))
        shutil.rmtree(lab.path)
    if purge:
        _purge(directory)
    return found


def _purge(directory: Path) -> None:
    """Remove base images and key too. LabError while labs still stand on them."""
    if left := known(directory):
        raise LabError(f"labs {', '.join(left)} still use {directory}: take them down first")
    for path in (directory / "base", directory / "labs"):
        shutil.rmtree(path, ignore_errors=True)
    for file in (ssh.key_path(directory), ssh.key_path(directory).with_suffix(".pub"), directory / "lock"):
        file.unlink(missing_ok=True)
    if directory.exists() and not any(directory.iterdir()):
        directory.rmdir()


def _remove_inventory(file: Path) -> None:
    """Remove the inventory, unless someone made it their own."""
    if file.exists() and file.read_text().startswith(inventory.HEADER):
        file.unlink()
        if not any(file.parent.iterdir()):
            file.parent.rmdir()


def status(lab: Lab) -> list[HostStatus]:
    """How every host of the lab is."""
    return [_status(lab, host) for host in lab.hosts]


def _status(lab: Lab, host: Host) -> HostStatus:
    processes = cgroups.processes(lab, host)
    # A host without supervisor goes on running until `up` or `start` begins anew.
    state = "on" if hosts.is_on(lab, host) else "unsupervised" if processes else "off"
    return HostStatus(host, state, network.is_plugged(lab, host), len(processes), cgroups.memory(lab, host))


def run_on(lab: Lab, host: Host, argv: tuple[str, ...]) -> str:
    """Output of a command on the host. LabError when it fails."""
    return run(*ssh.command(lab, host, argv))


def _each(members: Iterable[Host], action: Callable[[Host], None]) -> None:
    """Do it for all hosts at once; the first error is raised after all are done."""
    with ThreadPoolExecutor(thread_name_prefix="host") as pool:
        for future in [pool.submit(action, host) for host in members]:
            future.result()
