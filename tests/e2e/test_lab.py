"""A lab of two hosts, from up to down, on the real machine. Needs root; uses a lab and an address range of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdist.config.lab import LAB_DIR, LabSettings
from kdist.lab import hosts, labs
from kdist.lab.plan import Lab
from kdist.lab.process import LabError
from kdist.lab.supervisor import PID_FILE

NAME, SUBNET = "e2e", "10.199.7.0/24"

pytestmark = [pytest.mark.root, pytest.mark.lab]


NOTHING: dict[str, set[str]] = {
    kind: set() for kind in ("mounts", "netns", "cgroups", "processes", "directories")
}


def settings(directory: Path) -> LabSettings:
    inventory = directory / "inventory" / "hosts.yml"
    return LabSettings(hosts=2, name=NAME, subnet=SUBNET, dir=LAB_DIR, inventory=inventory)


def traces() -> dict[str, set[str]]:
    """Everything of this lab that the machine knows of."""
    marks = (f"kdist-{NAME}", f"labs/{NAME}")
    commands = (path.read_bytes().replace(b"\0", b" ").decode() for path in _command_lines())
    nspawn = Path("/run/systemd/nspawn").glob(f"*/*kdist-{NAME}*")
    return {
        "mounts": {m for m in Path("/proc/mounts").read_text().splitlines() if any(x in m for x in marks)},
        "netns": {p.name for p in Path("/run/netns").glob(f"kdist-{NAME}*")},
        "cgroups": {str(p) for p in Path("/sys/fs/cgroup").glob(f"**/kdist-{NAME}")},
        "processes": {c for c in commands if any(x in c for x in marks)},
        "directories": {str(p) for p in (LAB_DIR / "labs" / NAME, *nspawn) if p.exists()},
    }


def _command_lines() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            process.read_bytes()
        except OSError:
            continue
        yield process


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    labs.down(LAB_DIR, NAME)
    try:
        yield labs.up(settings(tmp_path), lambda line: None)
    finally:
        labs.down(LAB_DIR, NAME)


def on(lab: Lab, host: str, command: str) -> str:
    return labs.run_on(lab, lab.host(host), (command,)).strip()


def boot_id(lab: Lab, host: str) -> str:
    """Changes with each boot of the host (the kernel's own boot id is the machine's)."""
    return on(lab, host, "systemctl show --value -p UserspaceTimestampMonotonic")


def test_hosts_are_whole_machines_on_a_network_of_their_own(lab: Lab) -> None:
    assert on(lab, "cp1", "systemctl is-system-running --wait") == "running"
    assert on(lab, "cp1", "hostname; ping -c1 -W2 w1 >/dev/null && echo reached") == "cp1\nreached"
    assert on(lab, "w1", "ip route show default") == "default via 10.199.7.1 dev eth0"
    assert on(lab, "w1", "touch /var/lib/containerd/x && stat -f -c %T /var/lib/containerd") != "overlayfs"
    on(lab, "w1", "mkdir /sys/fs/cgroup/pids/probe 2>/dev/null || mkdir /sys/fs/cgroup/probe")


def test_a_crashed_host_comes_back_with_its_disk(lab: Lab) -> None:
    on(lab, "w1", "echo kept > /root/note; sync")
    hosts.crash(lab, lab.host("w1"))
    assert [status.state for status in labs.status(lab)] == ["on", "off"]
    with pytest.raises(LabError, match="w1 is off"):
        hosts.set_cable(lab, lab.host("w1"), plugged=False)
    labs.start(lab, lab.host("w1"), print)
    assert on(lab, "w1", "cat /root/note") == "kept"


def test_a_cut_host_is_silent_until_its_cable_is_healed(lab: Lab) -> None:
    hosts.set_cable(lab, lab.host("w1"), plugged=False)
    with pytest.raises(LabError):
        on(lab, "cp1", "ping -c1 -W1 w1")
    hosts.set_cable(lab, lab.host("w1"), plugged=True)
    on(lab, "cp1", "ping -c1 -W5 w1")


def test_a_host_reboots_and_shuts_down_by_itself(lab: Lab) -> None:
    before = boot_id(lab, "w1")
    on(lab, "w1", "systemd-run --quiet --on-active=0 systemctl reboot")
    for _ in range(100):
        try:
            after = boot_id(lab, "w1")
        except LabError:
            continue  # on its way down or up
        if after != before:
            break
    assert after != before
    hosts.power_off(lab, lab.host("w1"))
    assert not hosts.is_on(lab, lab.host("w1"))


def test_up_again_is_without_effect_and_other_settings_are_refused(lab: Lab, tmp_path: Path) -> None:
    before = boot_id(lab, "cp1")
    labs.up(settings(tmp_path), lambda line: pytest.fail(f"did something: {line}"))
    assert boot_id(lab, "cp1") == before
    with pytest.raises(LabError, match="exists with other settings"):
        labs.up(LabSettings(hosts=3, name=NAME, subnet=SUBNET, inventory=tmp_path / "x.yml"), print)
    with pytest.raises(LabError, match=f"{SUBNET} is in use: .* network namespace kdist-{NAME}"):
        labs.up(LabSettings(hosts=1, name="e2e-other", subnet=SUBNET, inventory=tmp_path / "x.yml"), print)


def test_a_name_is_taken_across_directories_until_the_directory_is_gone(lab: Lab, tmp_path: Path) -> None:
    other = LabSettings(
        hosts=1, name=NAME, subnet=SUBNET, dir=tmp_path / "labs", inventory=tmp_path / "x.yml"
    )
    with pytest.raises(LabError, match=f"the name {NAME} is taken by the lab in {lab.path}"):
        labs.up(other, print)
    assert [status.state for status in labs.status(lab)] == ["on", "on"]


def test_a_killed_supervisor_is_noticed_and_its_host_started_anew(lab: Lab, tmp_path: Path) -> None:
    os.kill(int((lab.host_path(lab.host("w1")) / PID_FILE).read_text()), signal.SIGKILL)
    while hosts.is_on(lab, lab.host("w1")):
        pass
    assert labs.status(lab)[1].state == "unsupervised"
    labs.up(settings(tmp_path), lambda line: None)
    assert [status.state for status in labs.status(lab)] == ["on", "on"]


def test_down_leaves_nothing_behind(lab: Lab) -> None:
    assert all(traces()[kind] for kind in ("netns", "cgroups", "processes", "directories"))
    labs.down(LAB_DIR, NAME)
    assert traces() == NOTHING
    assert not Path(lab.inventory).exists()


def test_down_leaves_nothing_behind_after_kill_9_of_supervisors(lab: Lab) -> None:
    for host in lab.hosts:
        os.kill(int((lab.host_path(host) / PID_FILE).read_text()), signal.SIGKILL)
    labs.down(LAB_DIR, NAME)
    assert traces() == NOTHING


def test_the_command_line_speaks_plainly(lab: Lab) -> None:
    def kdist(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kdist.cli.main", "lab", *argv, "--name", NAME]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "cp1" in kdist("status").stdout
    refused = kdist("crash", "w7")
    assert (refused.returncode, refused.stderr) == (1, f"error: lab {NAME} has no host w7; it has cp1, w1\n")
